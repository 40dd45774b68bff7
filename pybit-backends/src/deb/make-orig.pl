# Makes the .orig.tar.xz that a "3.0 (quilt)" source package needs, where none lies beside the tree.
#
# Runs inside the build environment, from the directory that the tarball goes to, with the tree as its argument. The
# tarball is the tree without debian/ and version control, and depends on nothing but the tree and its changelog.
# A tarball that was fetched with the tree lies beside it, and is copied, companions (.orig-docs.tar.xz) included.
use strict;
use warnings;
use Dpkg::Changelog::Parse;
use Dpkg::Version;
use File::Basename qw(dirname);
use File::Copy qw(copy);

my $tree = shift @ARGV;
my $format = '1.0';
if (open my $file, '<', "$tree/debian/source/format") {
    $format = readline($file) // '';
    $format =~ s/\s+$//;
}
if ($format ne '3.0 (quilt)') {
    print "The source format is $format: no upstream tarball is made.\n";
    exit 0;
}
my $entry = changelog_parse(file => "$tree/debian/changelog")
    or die "error: debian/changelog has no entry\n";
my $version = Dpkg::Version->new($entry->{Version}, check => 1);
die "error: debian/changelog names no valid version\n" unless defined $version && $version->is_valid;
my $name = $entry->{Source};
die "error: debian/changelog names no valid package\n" unless $name =~ /^[a-zA-Z0-9][a-zA-Z0-9+.-]+$/;
my $stem = sprintf '%s_%s', $name, $version->as_string(omit_epoch => 1, omit_revision => 1);

my %found;
for my $dir ('.', dirname($tree)) {
    opendir my $handle, $dir or next;
    for my $name (grep { /^\Q$stem\E\.orig(?:-[a-zA-Z0-9-]+)?\.tar\.(?:gz|bz2|lzma|xz)$/ } readdir $handle) {
        $found{$name} //= $dir if -f "$dir/$name" && !-l "$dir/$name";
    }
}
for my $name (sort keys %found) {
    print "The upstream tarball is $name.\n";
    next if $found{$name} eq '.';
    copy("$found{$name}/$name", $name) or die "error: cannot copy $name: $!\n";
}
exit 0 if grep { /^\Q$stem\E\.orig\.tar\./ } keys %found;
my $tarball = "$stem.orig.tar.xz";
my $time = $entry->{Timestamp} // 0;
(my $top = $stem) =~ s/_/-/;
my @tar = (
    'tar', '--create', '--force-local', "--file=$tarball", '--use-compress-program=xz -T1 -6',
    '--format=gnu', '--sort=name', "--mtime=\@$time", '--owner=0', '--group=0', '--numeric-owner', '--mode=u+rw,go=rX',
    '--anchored', '--exclude=./debian', '--exclude=./.svn', '--exclude=./.pc', '--no-anchored', '--exclude=.git',
    "--transform=s,^\\.,$top,S", "--directory=$tree", '.',
);
print "Making $tarball from the tree.\n";
system(@tar) == 0 or die "error: tar failed\n";
