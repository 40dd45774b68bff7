# Lets apt install from the farm's repositories what the archive alone cannot provide, and nothing else. Runs as the root of a build's
# root, which has this script, the keys and the list of repositories at /pybit-farm.
#
# "setup" makes an empty local repository, which sbuild is told of, and an apt hook. sbuild turns the build dependencies into a package and
# updates the index of that one: the hook then runs "plan". Where apt can install that package from the archive alone, the farm's
# repositories are not read at all. Else each relation that no candidate of the archive satisfies is looked for in the farm's signed indices,
# and the packages that satisfy it are put into the local repository, each pinned by its exact version. sbuild reads the local repository
# next. What is missing then, apt says itself.
use strict;
use warnings;

my $here = '/pybit-farm';
my $own = '/var/lib/pybit';
my $local = "$own/farm";
my $hook = '/etc/apt/apt.conf.d/99pybit-farm';
my $dummy_list = '/etc/apt/sources.list.d/sbuild-build-depends-archive.list';
my $dummy = 'sbuild-build-depends-main-dummy';
my @memory = ('-o', 'Dir::Cache::pkgcache=', '-o', 'Dir::Cache::srcpkgcache=');
my @farm = (
    @memory, '-o', "Dir::Etc::sourcelist=$own/sources.list", '-o', 'Dir::Etc::sourceparts=/dev/null',
    '-o', 'Dir::Etc::preferences=/dev/null', '-o', 'Dir::Etc::preferencesparts=/dev/null', '-o', "Dir::State::lists=$own/lists",
    '-o', 'Acquire::GzipIndexes=false', '-o', 'APT::Update::Error-Mode=any', '-o', 'APT::Sandbox::User=root',
);
my $NAME = qr/[a-z0-9][a-z0-9+.-]+/;
my $VERSION = qr/[A-Za-z0-9.+:~-]+/;
$| = 1;

sub fail { print "E: pybit: $_[0]\n"; exit 1 }

sub put {
    my ($file, $text) = @_;
    open my $out, '>', $file or fail("$file cannot be written: $!");
    print {$out} $text;
    close $out or fail("$file cannot be written: $!");
}

sub lines_of {
    my $quiet = $_[0] eq '-' && shift;
    my $pid = open(my $from, '-|') // fail("no process can be started: $!");
    if (!$pid) {
        open STDERR, '>', '/dev/null' if $quiet;
        exec {$_[0]} @_ or exit 127;
    }
    my @lines = <$from>;
    return close $from ? \@lines : undef;
}

sub run {
    system {$_[0]} @_;
    return $? == 0;
}

# A process's output. The index of a distribution has a million lines: they are not all kept.
sub output_of {
    my $pid = open(my $from, '-|', @_) or fail("$_[0] cannot be started: $!");
    return $from;
}

my $FIELD = qr/\A((?:Package|Version|Architecture|Multi-Arch|Provides|Pre-Depends|Depends|Conflicts|Breaks|Replaces|Installed)): *(.*?)\s*\Z/;

# Paragraphs, as hashes of the fields that count here; the whole text, too, where that is asked for.
sub paragraphs {
    my ($from, $each, $whole) = @_;
    my ($fields, $text) = ({}, '');
    my $end = sub {
        my ($name, $version) = @$fields{'Package', 'Version'};
        $fields->{text} = $text if $whole;
        $each->($fields) if ($name // '') =~ /\A$NAME\z/ && ($version // '') =~ /\A$VERSION\z/;
        ($fields, $text) = ({}, '');
    };
    while (my $line = <$from>) {
        if ($line =~ /\A\s*\Z/) { $end->(); next }
        $text .= $line if $whole;
        $fields->{$1} = $2 if $line =~ $FIELD;
    }
    $end->();
}

# A field of relations: a list of alternatives, each [name, qualifier, operator, version].
sub relations {
    my @all;
    for my $text (split /,/, $_[0] // '') {
        my @any;
        for (split /\|/, $text) {
            push @any, [$1, $2 // '', $3 // '', $4 // ''] if /\A\s*($NAME)(?::([a-z0-9-]+))?\s*(?:\(\s*(<<|<=|=|>=|>>|<|>)\s*($VERSION)\s*\))?/;
        }
        push @all, \@any if @any;
    }
    return @all;
}

sub shown { join ' | ', map { my ($n, $q, $o, $v) = @$_; $n . ($q && ":$q") . ($o && " ($o $v)") } @{$_[0]} }

my %compared;
sub compare {
    my ($version, $sign, $wanted) = @_;
    return 1 if $sign eq '';
    my %word = ('<<' => 'lt', '<=' => 'le', '<' => 'le', '=' => 'eq', '>=' => 'ge', '>' => 'ge', '>>' => 'gt');
    return $compared{"$version $sign $wanted"} //= run('dpkg', '--compare-versions', $version, $word{$sign}, $wanted) ? 1 : 0;
}

# Whether a package is what an alternative asks for, by its name or by what it provides.
sub named {
    my ($package, $wanted) = @_;
    return $package->{Package} eq $wanted->[0] && compare($package->{Version}, @$wanted[2, 3])
        && ($wanted->[1] ne 'any' || ($package->{'Multi-Arch'} // '') eq 'allowed');
}

sub provides {
    my ($package, $wanted) = @_;
    for (map { @$_ } relations($package->{Provides})) {
        my ($name, undef, $sign, $version) = @$_;
        return 1 if $name eq $wanted->[0] && ($wanted->[2] eq '' || $sign eq '=' && compare($version, @$wanted[2, 3]));
    }
    return 0;
}

sub hits {
    my ($field, $package) = @_;
    for my $any (map { @$_ } relations($field)) {
        return 1 if named($package, [$any->[0], '', @$any[2, 3]]);
    }
    return 0;
}

# What apt would do: undef, or the lines "Inst NAME ..." and "Remv NAME ...".
sub simulated {
    return lines_of('-', 'apt-get', @memory, '-s', '-y', '-o', 'APT::Install-Recommends=false', 'install', $dummy, @_);
}

sub setup {
    for ($own, $local, "$own/lists") { mkdir $_ or fail("$_ cannot be made: $!") }
    index_of('');
    put($hook, "APT::Update::Post-Invoke-Success { \"perl $here/farm.pl plan\"; };\n");
}

# Writes the local repository's index.
sub index_of {
    put("$local/Packages", $_[0]);
    my ($sum) = split ' ', join '', @{lines_of('sha256sum', "$local/Packages") // fail('sha256sum fails')};
    put("$local/Release", "Origin: pybit-farm\nLabel: pybit-farm\nDate: " . join('', @{lines_of('date', '-Ru') // []})
        . "SHA256:\n $sum " . length($_[0]) . " Packages\n");
}

# What the archive has: the candidate of each name, and what is installed.
sub archive {
    my ($arch) = @_;
    my %archive;
    my $add = sub {
        my $package = $_[0];
        return if $package->{Architecture} !~ /\A(?:all|\Q$arch\E)\z/ || $package->{Package} eq $dummy;
        push @{$archive{$package->{Package}}}, $package;
        push @{$archive{$_->[0]}}, $package for map { @$_ } relations($package->{Provides});
    };
    my $index = output_of('apt-cache', @memory, 'dumpavail');
    paragraphs($index, $add);
    close $index or fail("the archive's index cannot be read");
    paragraphs(output_of('dpkg-query', '--show', '--showformat=Package: ${Package}\nVersion: ${Version}\nArchitecture: ${Architecture}\n'
        . 'Multi-Arch: ${Multi-Arch}\nProvides: ${Provides}\nInstalled: ${db:Status-Status}\n\n'),
        sub { $add->($_[0]) if $_[0]{Installed} eq 'installed' && !grep { $_->{Package} eq $_[0]{Package} } @{$archive{$_[0]{Package}}} });
    return \%archive;
}

# What the farm has, by name and by what is provided; every index has a good signature of the repository's own key.
sub farm {
    my ($arch) = @_;
    open my $list, '<', "$here/repositories" or fail("the list of the farm's repositories cannot be read: $!");
    my ($n, $sources) = (0, '');
    $sources .= "deb [signed-by=$here/" . $n++ . ".asc] $_" while <$list>;
    put("$own/sources.list", $sources);
    run('apt-get', @farm, '-q', 'update') or fail("the farm's repository cannot be read");
    my %farm;
    my $files = lines_of('apt-get', @farm, 'indextargets', '--format', '$(FILENAME)|$(REPO_URI)', 'Created-By: Packages') // [];
    for (@$files) {
        my ($file, $url) = /\A(\S+)\|(\S+)\Z/ or next;
        open my $in, '<', $file or next;
        paragraphs($in, sub {
            my $package = $_[0];
            return if ($package->{Architecture} // '') !~ /\A(?:all|\Q$arch\E)\z/;
            $package->{repository} = $url;
            push @{$farm{$package->{Package}}}, $package;
            push @{$farm{$_->[0]}}, $package for map { @$_ } relations($package->{Provides});
        }, 1);
    }
    return \%farm;
}

# The packages of the farm that close what the archive cannot, by name.
sub chosen {
    my ($wanted, $archive, $farm) = @_;
    my (%limits, %chosen);
    for (1 .. 10) {
        %chosen = ();
        my $changed = 0;
        my @open = map { [$_, ''] } relations($wanted->{Depends});
        while (my $next = shift @open) {
            my ($any, $for) = @$next;
            my @fields = ($wanted->{Conflicts}, map { @$_{'Conflicts', 'Breaks'} } values %chosen);
            my $fine = sub { my $package = $_[0]; !grep { hits($_, $package) } @fields };
            my @there = map { my $alt = $_; map { [$_, $alt] } grep { $fine->($_) } @{$archive->{$alt->[0]}} } @$any;
            push @there, map { my $alt = $_; map { [$_, $alt] } values %chosen } @$any;
            next if grep { named(@$_) || provides(@$_) } @there;
            my ($package, $alt) = best($any, $archive, $farm, \%limits, sub { !hits($wanted->{Conflicts}, $_[0]) });
            if (!$package) {
                print 'pybit: neither the archive nor the farm has ', shown($any), $for && " ($for needs it)", "\n" if $_ == 1;
                next;
            }
            push @{$limits{$package->{Package}}}, $alt and $changed = 1 if $alt && !grep { "@$_" eq "@$alt" } @{$limits{$package->{Package}}};
            last if keys %chosen >= 500;
            next if ($chosen{$package->{Package}} // {}) == $package;
            $chosen{$package->{Package}} = $package;
            $package->{why} = ($for || 'the build') . ' needs ' . shown($any);
            push @open, map { [$_, $package->{Package}] } relations($package->{'Pre-Depends'}), relations($package->{Depends});
        }
        last unless $changed;
    }
    return \%chosen;
}

# The farm's newest package of a name that is asked for; else one that provides the name, and is not itself called as one of the archive's.
sub best {
    my ($any, $archive, $farm, $limits, $allowed) = @_;
    for my $alt (@$any) {
        my @found = grep { my $p = $_; named($p, $alt) && $allowed->($p) && !grep { !named($p, $_) } @{$limits->{$p->{Package}}} } @{$farm->{$alt->[0]}};
        return newest(@found), $alt if @found;
    }
    for my $alt (@$any) {
        my @found = grep { my $p = $_; provides($p, $alt) && $allowed->($p) && !grep { $_->{Package} eq $p->{Package} } @{$archive->{$p->{Package}}} } @{$farm->{$alt->[0]}};
        my ($first) = sort map { $_->{Package} } @found;
        return newest(grep { $_->{Package} eq $first } @found) if @found;
    }
    return;
}

sub newest {
    my $best = shift;
    for (@_) { $best = $_ if compare($_->{Version}, '>>', $best->{Version}) }
    return $best;
}

# Fetches a package into the local repository; apt checks its digest against the signed index. The paragraph for the index.
sub fetched {
    my ($package) = @_;
    my $name = "$package->{Package}_$package->{Version}.deb" =~ s/:/%3a/gr;
    mkdir "$own/new" or fail("$own/new cannot be made: $!");
    chdir "$own/new" or fail("$own/new cannot be entered: $!");
    run('apt-get', @farm, '-q', 'download', "$package->{Package}=$package->{Version}") or fail("Failed to fetch $package->{Package} $package->{Version} of the farm's repository");
    my ($file) = glob "$own/new/*.deb";
    defined $file && rename $file, "$local/$name" or fail("$package->{Package} was not fetched");
    chdir '/';
    rmdir "$own/new";
    $package->{file} = "$local/$name";
    return $package->{text} =~ s/^Filename: .*$/Filename: .\/$name/mr . "\n";
}

# Refuses what would take the place of the distribution's packages though nothing asks for that.
sub judge {
    my ($wanted, $archive, $chosen) = @_;
    my $plan = simulated(map { $_->{file} } values %$chosen) // return;
    my %there = map { (split ' ')[0] => 1 } @{lines_of('dpkg-query', '--show', '--showformat=${Package}\n') // []};
    my %gone;
    for (@$plan) {
        $there{$1} = 1 if /\AInst ($NAME)/;
        $gone{$1} = 1 if /\ARemv ($NAME)/;
    }
    for my $package (values %$chosen) {
        my $it = "the farm's $package->{Package} $package->{Version} ($package->{why})";
        for my $name (sort keys %there) {
            next if $chosen->{$name} || $name eq $package->{Package};
            for my $theirs (grep { $_->{Package} eq $name } @{$archive->{$name}}) {
                my $out = $gone{$name} && !hits($wanted->{Conflicts}, $theirs)
                    && grep { hits($_, $theirs) || conflicting($_, $theirs) } @$package{'Conflicts', 'Breaks'};
                my $over = !$gone{$name} && hits($package->{Replaces}, $theirs);
                refuse("$it would remove the distribution's $name $theirs->{Version}") if $out;
                refuse("$it would replace files of the distribution's $name $theirs->{Version}") if $over;
            }
        }
        my $shadow = shadowing($package->{file});
        refuse("$it holds $shadow->[0], which programs would find before the distribution's $shadow->[1]") if $shadow;
    }
}

# Whether a conflict names what a package provides.
sub conflicting {
    my ($field, $package) = @_;
    return scalar grep { provides($package, $_) } map { @$_ } relations($field);
}

# A program of /usr/local that the distribution has in the usual place.
sub shadowing {
    for (@{lines_of('dpkg-deb', '--contents', $_[0]) // fail("$_[0] cannot be read")}) {
        next unless m{ \./(usr/local/s?bin/([^/\s]+))(?: |$)};
        for my $usual ("/usr/bin/$2", "/usr/sbin/$2") { return ["/$1", $usual] if -e $usual }
    }
    return;
}

sub refuse {
    print "pybit: refused: $_[0]\n";
    print "E: pybit: nothing of the farm replaces the distribution's packages in a build root\n";
    exit 1;
}

sub plan {
    open my $list, '<', $dummy_list or exit 0;
    unlink $hook;
    my ($dir) = join('', <$list>) =~ m{\sfile:/*(/\S+)|\scopy:/*(/\S+)} ? $1 // $2 : fail('sbuild\'s own archive is not found');
    open my $packages, '<', "$dir/Packages" or fail("sbuild's own archive cannot be read: $!");
    my $wanted;
    paragraphs($packages, sub { $wanted = $_[0] if $_[0]{Package} eq $dummy });
    exit 0 unless $wanted;
    if (simulated()) {
        print "pybit: the archive has all build dependencies: nothing of the farm is installed\n";
        exit 0;
    }
    my $arch = $wanted->{Architecture};
    my $archive = archive($arch);
    my $chosen = chosen($wanted, $archive, farm($arch));
    my ($index, $pins) = ('', '');
    for my $name (sort keys %$chosen) {
        my $package = $chosen->{$name};
        $index .= fetched($package);
        $pins .= "Package: $name\nPin: version $package->{Version}\nPin-Priority: 990\n\n";
        my ($theirs) = grep { $_->{Package} eq $name } @{$archive->{$name}};
        my $has = $theirs ? "the archive has $theirs->{Version}" : 'the archive has none';
        print "pybit: from the farm: $name $package->{Version} ($has; $package->{why}), $package->{repository}\n";
    }
    judge($wanted, $archive, $chosen) if %$chosen;
    index_of($index);
    put('/etc/apt/preferences.d/pybit-farm', $pins);
}

$ARGV[0] eq 'setup' ? setup() : plan();
