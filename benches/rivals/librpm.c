/* librpm's version comparison, timed: both versions parsed each time, as a caller with two strings does it.
 *
 * Arguments: how many rounds, then the versions; each round compares every version with every version.
 * Prints the nanoseconds of all rounds. Exits with 2 where librpm refuses a version.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <rpm/rpmver.h>

static volatile int kept;

static rpmver parsed(const char *text)
{
	rpmver version = rpmverParse(text);

	if (version == NULL)
		exit(2);
	return version;
}

int main(int argc, char **argv)
{
	if (argc < 3)
		return 2;
	long rounds = strtol(argv[1], NULL, 10);
	struct timespec from, to;

	clock_gettime(CLOCK_MONOTONIC, &from);
	for (long round = 0; round < rounds; round++) {
		for (int a = 2; a < argc; a++) {
			for (int b = 2; b < argc; b++) {
				rpmver left = parsed(argv[a]), right = parsed(argv[b]);
				kept = rpmverCmp(left, right);
				rpmverFree(left);
				rpmverFree(right);
			}
		}
	}
	clock_gettime(CLOCK_MONOTONIC, &to);
	printf("%lld\n", (long long)(to.tv_sec - from.tv_sec) * 1000000000LL + (to.tv_nsec - from.tv_nsec));
	return 0;
}
