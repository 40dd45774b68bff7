
# Whether the distribution has what a relation asks for: as an installed package, a file, a shared library, a pkg-config file or a Perl
# module.
sub quiet {
    my $pid = open(my $from, '-|') // return;
    if (!$pid) {
        open STDERR, '>', '/dev/null';
        exec {$_[0]} @_ or exit 127;
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
    if ($name =~ /\A([A-Za-z0-9_][A-Za-z0-9+._-]*\.so[0-9.]*)\(/ && !defined $sign) {
        return scalar grep { -e } glob "/usr/lib/$1 /usr/lib64/$1 /lib64/$1 /usr/lib/*-linux-*/$1";
    }
    if ($name =~ /\Aperl\(([A-Za-z0-9_:]+)\)\z/ && !defined $sign) {
        my $file = $1 =~ s{::}{/}gr;
        return scalar grep { -e "$_/$file.pm" } @INC;
    }
    return debian($name, $sign, $wanted);
}
