# Installs what of ./requires.list the farm's own repositories have, and what that requires of them. Arguments: the architecture, rpm's
# database, and for each repository its key and its URL. Runs as the root of a build's root, before the build. dnf verifies the indices'
# signatures, rpm those of the packages; no script of a package is run. What the distribution has (debian.pl, which follows), is not looked
# for, and what it has not, the check of the next step names.
use strict;
use warnings;

my ($arch, $db, @repositories) = @ARGV;
my $place = '/var/cache/pybit';
my @dnf = (
    'dnf', '--assumeyes', '--quiet', '--releasever=1', "--forcearch=$arch", '--setopt=reposdir=/dev/null',
    "--setopt=cachedir=$place/dnf", "--setopt=logdir=$place",
);
my (@keys, %url);
for (my $n = 0; @repositories; $n++) {
    my ($key, $url) = splice @repositories, 0, 2;
    push @keys, $key;
    $url{"pybit$n"} = $url;
    push @dnf, "--repofrompath=pybit$n,$url", "--repo=pybit$n", map { "--setopt=pybit$n.$_" }
        "gpgkey=file://$key", 'repo_gpgcheck=1', 'gpgcheck=1', 'skip_if_unavailable=0', 'metadata_expire=0';
}

sub run {
    system {$_[0]} @_;
    die "error: $_[0] failed\n" if $?;
}

sub ask {
    open my $tool, '-|', @_ or die "error: $_[0] cannot be started: $!\n";
    chomp(my @lines = <$tool>);
    close $tool or die "error: the farm's repository cannot be read\n";
    return @lines;
}

open my $list, '<', 'requires.list' or die "error: requires.list cannot be read: $!\n";
chomp(my @wanted = <$list>);
mkdir $place or die "error: $place cannot be made: $!\n";
run('rpmdb', '--dbpath', $db, '--initdb');
my (%asked, %file, %from);
for (1 .. 20) {
    # Whoever wrote the spec wrote these lines; a comma would make two of one.
    @wanted = grep { m{\A[A-Za-z0-9_(/.][^,\x00-\x1f]*\z} && length($_) < 500 && !$asked{$_}++ && !satisfied($_) } @wanted;
    last unless @wanted && keys %file < 500;
    my @found = selected(@wanted);
    my @next;
    for (@found) {
        my ($id, $name, $evr, $location) = @$_;
        next if $file{$location};
        ($file{$location} = $location) =~ s{.*/}{$place/};
        $from{$location} = "$name $evr, $url{$id}";
        print "installing $location\n";
        run('curl', '--fail', '--silent', '--show-error', '--location', "--output", $file{$location}, "$url{$id}/$location");
        push @next, grep { !/\A(?:rpmlib|rtld|config)\(/ } ask('rpm', '-qp', '--nosignature', '--requires', $file{$location});
    }
    @wanted = @next;
}
exit 0 unless %file;
judge($_) for sort keys %file;
run('rpmkeys', '--dbpath', $db, '--import', $_) for @keys;
run(
    'rpm', '--dbpath', $db, '--define', '_pkgverify_level all', '--install', '--replacepkgs', '--nodeps', '--noscripts', '--notriggers',
    '--force-debian', sort values %file,
);
run('ldconfig');
print "pybit: from the farm: $from{$_}\n" for sort keys %from;
exit 0;

sub found {
    my @lines = ask(
        @dnf, 'repoquery', "--arch=$arch,noarch", '--latest-limit=1', '--queryformat=%{repoid} %{name} %{evr} %{location}',
        '--whatprovides=' . join(',', @_),
    );
    return map { m{\A(pybit\d+) (\S+) (\S+) (Packages/[A-Za-z0-9_]/[A-Za-z0-9+._~^-]+\.rpm)\z} ? [$1, $2, $3, $4] : () } sort @lines;
}

# One package for each relation: that of the name, else the first that provides it. What only provides a name, and is itself called as a
# package of the distribution, is left out; what it obsoletes counts nowhere.
sub selected {
    my @found = found(@_) or return;
    my %wanted = map { (split ' ')[0] => 1 } @_;
    my %chosen = map { $_->[3] => $_ } grep { $wanted{$_->[1]} } @found;
    my %named = map { $_->[1] => 1 } values %chosen;
    for my $relation (grep { !$named{(split ' ')[0]} } @_) {
        my @own = grep { !debian($_->[1]) } @_ > 1 ? found($relation) : @found;
        $chosen{$own[0][3]} = $own[0] if @own && !grep { $chosen{$_->[3]} } @own;
    }
    return @chosen{sort keys %chosen};
}

# Refuses a package with a file that the root has already: every one is the distribution's. rpm knows nothing of those here. So, too, a
# program of /usr/local that the distribution has in the usual place.
sub judge {
    my ($location) = @_;
    for (ask('rpm', '-qp', '--nosignature', '--queryformat', '[%{FILEMODES:perms} %{FILENAMES}\n]', $file{$location})) {
        my ($mode, $path) = /\A(\S+) (\/.*)\z/ or next;
        my ($shadowed) = $path =~ m{\A/usr/local/s?bin/([^/]+)\z} ? grep { -e } "/usr/bin/$1", "/usr/sbin/$1" : ();
        refuse($location, "holds $path, which programs would find before the distribution's $shadowed") if defined $shadowed;
        next unless lstat $path;
        # A directory is shared by those that name it.
        next if $mode =~ /\Ad/ && -d $path;
        my $owner = quiet('dpkg-query', '--search', $path) // '';
        $owner = $owner =~ /\A([a-z0-9+.-]+)(?::\w+)?: / ? "the distribution's package $1" : 'the distribution';
        refuse($location, "would overwrite $path of $owner");
    }
}

sub refuse {
    my ($location, $why) = @_;
    print "pybit: refused: the farm's $from{$location} $why\n";
    die "error: nothing of the farm replaces the distribution's files in a build root\n";
}
