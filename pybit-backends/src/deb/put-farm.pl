# Makes the directory that a build's root reads the farm's repositories from. Arguments: the directory, the script that runs in the root, then
# for each repository its key's file and its line of sources.list(5) after the word "deb".
use strict;
use warnings;

my ($dir, $script, @repositories) = @ARGV;
umask 022;
mkdir $dir or die "error: $dir cannot be made: $!\n";

sub put {
    my ($name, $text) = @_;
    open my $out, '>', "$dir/$name" or die "error: $dir/$name cannot be made: $!\n";
    print {$out} $text;
    close $out or die "error: $dir/$name cannot be written: $!\n";
}

my $list = '';
for (my $n = 0; @repositories; $n++) {
    my ($key, $line) = splice @repositories, 0, 2;
    open my $in, '<', $key or die "error: $key cannot be read: $!\n";
    put("$n.asc", join '', <$in>);
    $list .= "$line\n";
}
put('farm.pl', $script);
put('repositories', $list);
