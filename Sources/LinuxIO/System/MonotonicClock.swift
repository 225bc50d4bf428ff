import Glibc

/// `CLOCK_MONOTONIC`: time that passes evenly, from some point that does not change while the machine runs.
public enum MonotonicClock {
    /// Nanoseconds, as timers of a loop count them.
    public static var nanoseconds: UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
    }

    /// Microseconds, as `MONOTONIC_USEC=` of the notification protocol wants them.
    public static var microseconds: UInt64 { nanoseconds / 1000 }
}
