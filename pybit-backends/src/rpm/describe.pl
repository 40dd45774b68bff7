# Writes what the binary packages of a build say of themselves to ./NAME-VERSION-RELEASE.ARCH.rpms-info. Arguments: the
# architecture, and 1 where noarch packages belong to this job, else 0.
use strict;
use warnings;
use Fcntl;

my ($arch, $indep) = @ARGV;
opendir my $here, '.' or die "error: the output directory cannot be read: $!\n";
my @rpms = sort grep { /\A[A-Za-z0-9][A-Za-z0-9+._~^-]*\.rpm\z/ && !/\.src\.rpm\z/ && -f $_ && !-l $_ } readdir $here;

sub ask {
    open my $tool, '-|', @_ or die "error: $_[0] cannot be started: $!\n";
    chomp(my @lines = <$tool>);
    close $tool or die "error: $_[0] failed\n";
    return @lines;
}

my ($source, @packages, @provides, @sums);
for my $rpm (@rpms) {
    my $format = '%{SOURCERPM}\t%{NAME}\t%{EPOCHNUM}\t%{VERSION}-%{RELEASE}\t%{ARCH}\n'
        . '[%{PROVIDENAME}\t%{PROVIDEFLAGS:depflags}\t%{PROVIDEVERSION}\n]';
    my ($head, @provided) = ask('rpm', '-qp', '--nosignature', '--queryformat', $format, "./$rpm");
    my ($from, $name, $epoch, $version, $own) = split /\t/, $head;
    next if $own eq 'noarch' && !$indep;
    $source = $from;
    $version = "$epoch:$version" if $epoch;
    push @packages, "$name $version $own $rpm";
    for (@provided) {
        my ($what, $sign, $at) = split /\t/;
        push @provides, "$what " . (($sign // '') =~ /=/ && defined $at && length $at ? $at : '-') . " $own" if $what =~ /\A\S+\z/ && $what ne $name;
    }
    my ($sum) = ask('sha256sum', '--', $rpm);
    my ($digest) = split / /, $sum;
    push @sums, "$digest @{[-s $rpm]} $rpm";
}
die "error: the build made no package\n" unless @packages;
(my $file = $source) =~ s/\.src\.rpm\z/.$arch.rpms-info/;
die "error: the package's name is not allowed\n" if $file =~ m{[/\s]};
sysopen my $out, $file, O_WRONLY | O_CREAT | O_EXCL or die "error: $file cannot be made: $!\n";
print {$out} "Source-Rpm: $source\nArchitecture: $arch\nPackages:\n", map { " $_\n" } @packages;
print {$out} "Provides:\n", map { " $_\n" } @provides if @provides;
print {$out} "Checksums-Sha256:\n", map { " $_\n" } @sums;
close $out or die "error: $file cannot be written: $!\n";
