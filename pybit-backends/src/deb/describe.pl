# Writes what the binary packages of a build say of themselves to ./packages.control, a paragraph for each: its file and
# the fields that pybit needs. dpkg-deb reads them, as apt will.
use strict;
use warnings;
use Fcntl;

opendir my $here, '.' or die "error: the output directory cannot be read: $!\n";
my @debs = sort grep { /^[a-z0-9A-Z][^\s\/]*\.deb$/ && -f $_ && !-l $_ } readdir $here;
die "error: the build made no package\n" unless @debs;
unlink 'packages.control';
sysopen my $out, 'packages.control', O_WRONLY | O_CREAT | O_EXCL or die "error: packages.control cannot be made: $!\n";
for my $deb (@debs) {
    open my $tool, '-|', 'dpkg-deb', '--field', "./$deb", qw(Package Version Architecture Provides)
        or die "error: dpkg-deb cannot be started: $!\n";
    print {$out} "File: $deb\n", <$tool>, "\n";
    close $tool or die "error: $deb is no Debian package\n";
}
close $out or die "error: packages.control cannot be written: $!\n";
