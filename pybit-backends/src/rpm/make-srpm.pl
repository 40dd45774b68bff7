# Makes ./NAME-VERSION-RELEASE.src.rpm from the tree that is the argument: from its one spec file, or from the one .src.rpm in it.
# Macros of the spec run here, as the build user, inside the environment. Nothing is given to a shell.
use strict;
use warnings;
use Cwd 'getcwd';

my $tree = shift // die "error: no tree is named\n";
my $here = getcwd();
my $plain = qr/\A[A-Za-z0-9][A-Za-z0-9+._~^-]*\z/;

sub names {
    my ($dir) = @_;
    opendir my $handle, $dir or return;
    return sort grep { -f "$dir/$_" && !-l "$dir/$_" } readdir $handle;
}

sub run {
    system {$_[0]} @_;
    exit(($? >> 8) || 1) if $?;
}

my @specs = map { my $dir = $_; map { "$dir/$_" } grep { /\.spec\z/ } names($dir) } $tree, map { "$tree/$_" } qw(SPECS rpm packaging);
if (!@specs) {
    my @packed = grep { /\.src\.rpm\z/ } names($tree);
    die "error: the tree holds no .spec file: neither at its top nor in SPECS/, rpm/ or packaging/\n" unless @packed;
    die "error: the tree holds several .src.rpm files, and must hold one\n" if @packed > 1;
    die "error: the .src.rpm has a name that is not allowed\n" unless $packed[0] =~ $plain;
    run('rpmkeys', '--checksig', '--nosignature', "$tree/$packed[0]");
    run('cp', '--', "$tree/$packed[0]", "$here/$packed[0]");
    exit 0;
}
die "error: the tree holds several .spec files, and must hold one: @{[map { substr $_, 1 + length $tree } @specs]}\n" if @specs > 1;
my $spec = $specs[0];
my ($beside) = $spec =~ m{\A(.*)/};

mkdir "$here/sources" or die "error: no directory for the sources can be made: $!\n";
my @defines = map { ('--define', $_) } "_topdir $here/rpmbuild", "_sourcedir $here/sources", "_srcrpmdir $here", "_tmppath $here";

sub ask {
    open my $tool, '-|', 'rpmspec', '--query', '--srpm', @defines, '--queryformat', $_[0], $spec or die "error: rpmspec cannot be started: $!\n";
    chomp(my @lines = <$tool>);
    close $tool or die "error: the spec file cannot be read\n";
    return @lines;
}

# What an %include or %{load:} reads is there before the spec is read; what it lists is looked for afterwards.
my %at;
for my $dir ($tree, $beside, "$tree/SOURCES") {
    $at{$_} = "$dir/$_" for grep { !/\.spec\z/ } names($dir);
}
for my $name (sort keys %at) {
    symlink $at{$name}, "$here/sources/$name" or die "error: $name cannot be linked: $!\n";
}
my ($head) = ask('%{NAME}\t%{VERSION}\n');
my ($name, $version) = split /\t/, $head // '';
for ($name, $version) {
    die "error: the spec file's Name or Version holds a character that is not allowed\n" unless defined && /$plain/;
}
my @missing = grep { !-e "$here/sources/$_" } map { m{([^/]*)\z} } ask('[%{SOURCE}\n][%{PATCH}\n]');
if (@missing == 1 && $missing[0] =~ $plain && $missing[0] =~ /\.(?:tar(?:\.\w+)?|tgz|tbz2|txz)\z/) {
    # The tree is the upstream itself. The same tree gives the same bytes.
    print "making $missing[0] from the tree\n";
    run(
        'tar', '--create', '--auto-compress', "--file=$here/sources/$missing[0]", '--sort=name', '--mtime=@946684800',
        '--owner=0', '--group=0', '--numeric-owner', '--mode=go=rX,u+rw', '--exclude-vcs', '--format=gnu',
        "--transform=s,^\\.,$name-$version,S", "--directory=$tree", '.',
    );
    @missing = ();
}
die "error: sources of the spec file are not in the tree: @missing\n" if @missing;
run('rpmbuild', '-bs', '--nodeps', @defines, $spec);
