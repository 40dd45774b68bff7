/* libdpkg's version comparison, timed: both versions parsed each time, as a caller with two strings does it.
 *
 * Arguments: how many rounds, then the versions; each round compares every version with every version.
 * Prints the nanoseconds of all rounds. Exits with 2 where libdpkg refuses a version.
 */
#define LIBDPKG_VOLATILE_API 1

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <dpkg/dpkg.h>
#include <dpkg/error.h>
#include <dpkg/dpkg-db.h>
#include <dpkg/version.h>

static volatile int kept;

static struct dpkg_version parsed(const char *text)
{
	struct dpkg_version version;
	struct dpkg_error error = DPKG_ERROR_INIT;

	if (parseversion(&version, text, &error) < 0)
		exit(2);
	return version;
}

int main(int argc, char **argv)
{
	if (argc < 3)
		return 2;
	long rounds = strtol(argv[1], NULL, 10);
	struct timespec from, to;

	dpkg_program_init("bench");
	clock_gettime(CLOCK_MONOTONIC, &from);
	for (long round = 0; round < rounds; round++) {
		for (int a = 2; a < argc; a++) {
			for (int b = 2; b < argc; b++) {
				struct dpkg_version left = parsed(argv[a]), right = parsed(argv[b]);
				kept = dpkg_version_compare(&left, &right);
			}
		}
		/* libdpkg allocates what it parses from a pool; a caller frees it once in a while. */
		nffreeall();
	}
	clock_gettime(CLOCK_MONOTONIC, &to);
	printf("%lld\n", (long long)(to.tv_sec - from.tv_sec) * 1000000000LL + (to.tv_nsec - from.tv_nsec));
	return 0;
}
