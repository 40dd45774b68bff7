# Says which BuildRequires of a .src.rpm are missing. Arguments: what to do with them, the package and, where it is not the usual one,
# rpm's database. "list" writes a line RELATION for each to ./requires.list, "check" prints "pybit: unmet: RELATION" and fails.
# rpmbuild says what rpm's own database lacks; on a Debian machine or root that database is empty, so what an installed Debian
# package, a file or pkg-config provides counts too (debian.pl, which follows).
use strict;
use warnings;
use Cwd 'getcwd';

my ($what, $srpm, $db) = @ARGV;
die "error: no source package is named\n" unless defined $srpm;
my $here = getcwd();
my @defines = map { ('--define', $_) } "_topdir $here/$what", "_tmppath $here", defined $db ? "_dbpath $db" : ();
my $pid = open(my $tool, '-|') // die "error: no process can be started: $!\n";
if (!$pid) {
    open STDERR, '>&', \*STDOUT or die "error: $!\n";
    exec {'rpmbuild'} 'rpmbuild', '-rd', '--nobuild', @defines, $srpm or die "error: rpmbuild cannot be started: $!\n";
}
my @missing;
while (my $line = <$tool>) {
    print $line;
    push @missing, $1 if $line =~ /\A\t(.+) is needed by \S+\Z/;
}
my $complete = close $tool;
die "error: the build dependencies cannot be read\n" unless $complete || @missing;

if ($what eq 'list') {
    open my $list, '>', 'requires.list' or die "error: requires.list cannot be made: $!\n";
    print {$list} map { "$_\n" } grep { !satisfied($_) } @missing;
    close $list or die "error: requires.list cannot be written: $!\n";
    exit 0;
}
my $unmet = 0;
for my $relation (@missing) {
    if (satisfied($relation)) {
        print "pybit: $relation is there, though not as an RPM package\n";
    } else {
        print "pybit: unmet: $relation\n";
        $unmet = 1;
    }
}
exit $unmet;
