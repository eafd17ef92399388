use strict;
use Fcntl qw(:flock);
my ($file, $grace) = @ARGV;
my $seen = time;
my $said;
$SIG{USR1} = sub { $seen = time };
$| = 1;
umask 077;
while (1) {
	open(LOCK, '>>', $file) or die "$file: $!\n";
	until (flock(LOCK, LOCK_EX | LOCK_NB)) {
		$!{EWOULDBLOCK} or die "$file: $!\n";
		print "waiting\n" unless $said++;
		select(undef, undef, undef, 0.2);
		exit 1 if time - $seen > $grace;
	}
	my @ours = stat LOCK;
	my @there = stat $file;
	last if @there && $ours[0] == $there[0] && $ours[1] == $there[1];
}
print "locked\n";
sleep 1 while time - $seen <= $grace;
