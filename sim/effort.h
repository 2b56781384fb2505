/* How much of a long matrix runs in `make test`. */
#ifndef SIM_EFFORT_H
#define SIM_EFFORT_H

/* Sanitizers take ten times as long, and look for something else than the judge: they see every so-manieth case. */
#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define SIM_THIN 8
#endif
#endif
#if !defined(SIM_THIN) && defined(__SANITIZE_ADDRESS__)
#define SIM_THIN 8
#endif
#ifndef SIM_THIN
#define SIM_THIN 1
#endif

#endif
