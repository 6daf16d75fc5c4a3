#!/bin/sh
# Functions that are not called here, because they overflow, block, race or hide errors.
# Allocation goes through core/mem.h, which aborts instead of returning NULL.
# Comments and string literals do not count.
# Usage: banned.sh SOURCE_DIR
cd "$1" || exit 2

find . \( -name build -o -name .git -o -name node_modules \) -prune -o \( -name '*.[ch]' -o -name '*.cpp' \) -print |
	sed 's,^\./,,' | sort | perl -e '
use strict;
use warnings;

my @everywhere = qw(strcpy strcat sprintf vsprintf strtok atoi atol gets alloca signal usleep
	sleep nanosleep system popen rand localtime gmtime ctime);
my @outside_core = qw(malloc calloc realloc strdup strndup);
my $status = 0;

sub blank { my ($text) = @_; $text =~ s/[^\n]/ /g; return $text; }

while (my $file = <STDIN>) {
	chomp $file;
	open my $in, "<", $file or die "$file: $!\n";
	my $code = do { local $/; <$in> };
	$code = "" unless defined $code;
	$code =~ s{(/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\x27(?:\\.|[^\x27\\\n])*\x27)}{blank($1)}gse;

	my @banned = @everywhere;
	push @banned, @outside_core unless $file =~ m{^core/};
	my $names = join "|", @banned;
	my $n = 0;
	for my $line (split /\n/, $code) {
		$n++;
		while ($line =~ /(?<![\w.>])($names)\s*\(/g) {
			print STDERR "$file:$n: $1() is banned\n";
			$status = 1;
		}
	}
}
exit $status;
'
