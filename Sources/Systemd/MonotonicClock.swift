import Glibc

/// `CLOCK_MONOTONIC`, the clock of all times in the notification protocol.
public enum MonotonicClock {
    /// Microseconds since an arbitrary point, as `MONOTONIC_USEC=` wants them.
    public static var microseconds: UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) &* 1_000_000 &+ UInt64(time.tv_nsec) / 1000
    }
}
