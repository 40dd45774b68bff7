# Says which BuildRequires of the .src.rpm that is the argument are missing, a line "pybit: unmet: RELATION" for each.
# rpmbuild says what rpm's own database lacks; on a Debian machine or root that database is empty, so what an installed Debian
# package, a file or pkg-config provides counts too.
use strict;
use warnings;
use Cwd 'getcwd';

my $srpm = shift // die "error: no source package is named\n";
my $here = getcwd();
my @defines = map { ('--define', $_) } "_topdir $here/check", "_tmppath $here";
my $pid = open(my $tool, '-|') // die "error: no process can be started: $!\n";
if (!$pid) {
    open STDERR, '>&', \*STDOUT or die "error: $!\n";
    exec 'rpmbuild', '--rebuild', '--nobuild', @defines, $srpm or die "error: rpmbuild cannot be started: $!\n";
}
my @missing;
while (my $line = <$tool>) {
    print $line;
    push @missing, $1 if $line =~ /\A\t(.+) is needed by \S+\Z/;
}
exit 0 if close $tool;
die "error: the build dependencies cannot be read\n" unless @missing;

sub quiet {
    my $pid = open(my $from, '-|') // return;
    if (!$pid) {
        open STDERR, '>', '/dev/null';
        exec @_ or exit 127;
    }
    my @said = <$from>;
    return close $from ? join('', @said) || ' ' : undef;
}

sub debian {
    my ($name, $sign, $wanted) = @_;
    return unless $name =~ /\A[a-z0-9][a-z0-9+.-]+\z/;
    my $said = quiet('dpkg-query', '--show', '--showformat=${db:Status-Status} ${Version}\n', $name) // return;
    my ($version) = $said =~ /^installed (\S+)$/m or return;
    return 1 unless defined $sign;
    # The version's release is the distribution's own and says nothing here.
    ($version = $version) =~ s/\A\d+://;
    $version =~ s/-[^-]*\z//;
    $wanted =~ s/\A\d+://;
    $wanted =~ s/-[^-]*\z//;
    return unless $wanted =~ /\A[0-9A-Za-z.+~]+\z/;
    my %word = ('<' => 'lt', '<=' => 'le', '=' => 'eq', '>=' => 'ge', '>' => 'gt');
    return defined quiet('dpkg', '--compare-versions', $version, $word{$sign} // return, $wanted);
}

sub satisfied {
    my ($relation) = @_;
    return if $relation =~ /\A\(/;
    my ($name, $sign, $wanted) = split ' ', $relation;
    return -e $name if $name =~ m{\A/} && !defined $sign;
    if ($name =~ /\Apkgconfig\(([A-Za-z0-9][A-Za-z0-9+._-]*)\)\z/ && !defined $sign) {
        return defined quiet('pkg-config', '--exists', $1);
    }
    return debian($name, $sign, $wanted);
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
