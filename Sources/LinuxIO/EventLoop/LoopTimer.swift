import CLinux

/// Calls something at regular times while it lives, for those who know of a loop nothing but its services.
public final class LoopTimer {
    private let alarm: Descriptor
    private let interval: UInt64
    private var watch: DescriptorWatch?

    /// - Parameter interval: nanoseconds from one call to the next.
    public init(
        _ services: any LoopServices, every interval: UInt64, _ body: @escaping () -> Void
    ) throws(SystemError) {
        alarm = try Descriptor(opened: clinux_alarm_create(), "timerfd_create")
        self.interval = max(interval, 1)
        watch = try services.watch(alarm) { [unowned self] in
            set()
            body()
        }
        set()
    }

    private func set() {
        clinux_alarm_clear(alarm.number)
        _ = clinux_alarm_set(alarm.number, MonotonicClock.nanoseconds &+ interval)
    }
}
