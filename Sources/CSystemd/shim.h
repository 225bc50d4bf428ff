#pragma once
#include <systemd/sd-daemon.h>
#include <systemd/sd-id128.h>
/* Swift cannot import the macros that would otherwise add the C source location; entries carry Swift's own. */
#define SD_JOURNAL_SUPPRESS_LOCATION 1
#include <systemd/sd-journal.h>
