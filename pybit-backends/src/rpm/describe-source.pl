# Writes what the one ./*.src.rpm says of itself to ./NAME-VERSION-RELEASE.srpm-info. rpm reads it and runs the macros of its
# spec file here, inside the environment, so that the server never has to.
use strict;
use warnings;
use Fcntl;
use Cwd 'getcwd';

my $here = getcwd();
opendir my $handle, '.' or die "error: the output directory cannot be read: $!\n";
my @found = sort grep { /\A[A-Za-z0-9][A-Za-z0-9+._~^-]*\.src\.rpm\z/ && -f $_ && !-l $_ } readdir $handle;
die "error: there must be exactly one .src.rpm\n" unless @found == 1;
my $rpm = $found[0];

sub ask {
    open my $tool, '-|', @_ or die "error: $_[0] cannot be started: $!\n";
    chomp(my @lines = <$tool>);
    return close $tool ? \@lines : undef;
}

my $format = '%{NAME}\t%{EPOCHNUM}\t%{VERSION}\t%{RELEASE}\n[+%{EXCLUSIVEARCH}\n][!%{EXCLUDEARCH}\n]';
my $said = ask('rpm', '-qp', '--nosignature', '--queryformat', $format, "./$rpm") // die "error: $rpm is no RPM package\n";
my ($name, $epoch, $version, $release) = split /\t/, shift @$said;
my @only = map { substr $_, 1 } grep { /\A\+/ } @$said;
my @never = map { substr $_, 1 } grep { /\A!/ } @$said;

my @defines = map { ('--define', $_) } "_topdir $here/unpacked", "_dbpath $here/unpacked/db", "_tmppath $here";
mkdir 'unpacked' or die "error: the source package cannot be unpacked: $!\n";
ask('rpm', '--install', '--nosignature', '--nodeps', @defines, "./$rpm") // die "error: $rpm cannot be unpacked\n";
opendir my $specs, 'unpacked/SPECS' or die "error: $rpm holds no .spec file\n";
my @specs = grep { /\.spec\z/ } readdir $specs;
die "error: $rpm must hold exactly one .spec file\n" unless @specs == 1;
# A spec that excludes this very machine cannot be asked what it would make.
my $packages = ask('rpmspec', '--query', @defines, '--queryformat', '%{ARCH} %{NAME}\n', "unpacked/SPECS/$specs[0]");
my @packages = map { [split / /] } @{ $packages // [] };
my %made = map { ($_->[0] eq 'noarch' ? 'noarch' : 'any') => 1 } $packages ? @packages : (['any'], ['noarch']);
my %names = map { $_->[1] => 1 } @packages;

my $sum = ask('sha256sum', '--', $rpm) // die "error: sha256sum failed\n";
my ($digest) = split / /, $sum->[0];
my $size = -s $rpm;
my $full = ($epoch ? "$epoch:" : '') . "$version-$release";
my $file = "$name-$version-$release.srpm-info";
die "error: the package's name, version or release holds a character that is not allowed\n" if $file =~ m{[/\s]};
sysopen my $out, $file, O_WRONLY | O_CREAT | O_EXCL or die "error: $file cannot be made: $!\n";
print {$out} "Source: $name\nVersion: $full\nBuildArch: @{[sort keys %made]}\n";
print {$out} "Packages: @{[sort keys %names]}\n" if %names;
print {$out} "ExclusiveArch: @only\n" if @only;
print {$out} "ExcludeArch: @never\n" if @never;
print {$out} "Checksums-Sha256:\n $digest $size $rpm\n";
close $out or die "error: $file cannot be written: $!\n";
