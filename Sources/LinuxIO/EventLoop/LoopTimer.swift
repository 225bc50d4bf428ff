import CLinux

/// Calls something at regular times as long as it is wanted, for those who know of a loop nothing but its services.
public final class LoopTimer {
    private let alarm: Descriptor
    private let interval: UInt64
    private var watch: DescriptorWatch?
    private var isSet = false

    /// - Parameters:
    ///   - interval: nanoseconds from one call to the next.
    ///   - body: says whether it is to be called again.
    public init(
        _ services: any LoopServices, every interval: UInt64, _ body: @escaping () -> Bool
    ) throws(SystemError) {
        alarm = try Descriptor(opened: clinux_alarm_create(), "timerfd_create")
        self.interval = max(interval, 1)
        watch = try services.watch(alarm) { [unowned self] in
            clinux_alarm_clear(alarm.number)
            isSet = false
            if body() { start() }
        }
    }

    /// The first call comes after one interval; nothing changes if one is due already.
    public func start() {
        guard !isSet else { return }
        isSet = clinux_alarm_set(alarm.number, MonotonicClock.nanoseconds &+ interval) == 0
    }
}
