import ArgumentParser
import Glibc
import JSONRPC
import LinuxIO

/// `iommuctl watch`
struct WatchCommand: DaemonCommand {
    static let configuration = CommandConfiguration(
        commandName: "watch",
        abstract: "Look at what the daemon is at: sessions, requests a second, faults, the longest turn.",
        discussion: """
            An administrator sees all sessions, anybody else the own ones. q ends it. In a pipe, each round is a line \
            of JSON.
            """)

    @OptionGroup var options: GlobalOptions
    @OptionGroup var session: SessionOption

    @Option(help: ArgumentHelp("From one round to the next.", valueName: "seconds"))
    var interval = 1.0

    @Option(help: "End after this many rounds.")
    var count: Int?

    func validate() throws {
        guard (0.1...3600).contains(interval) else { throw ValidationError("--interval is from 0.1 to 3600 seconds.") }
    }

    func run(on daemon: Daemon) throws {
        try session.enter(daemon, create: false)
        try subscribe(daemon)
        let isLive = options.output == .table && Terminal.output.isThere
        let screen = isLive ? try WatchScreen() : nil
        defer { screen?.end() }
        try rounds(daemon, screen)
    }

    private func rounds(_ daemon: Daemon, _ screen: WatchScreen?) throws(Failure) {
        var faults: (count: Int, last: [JSONValue]) = (0, [])
        var figures = try WatchFigures(of: daemon)
        var before = figures
        var round = 0
        while true {
            let new = daemon.notifications().compactMap { $0["params"] }
            faults = (faults.count + new.count, Array((faults.last + new).suffix(6)))
            let view = WatchView(figures: figures, before: before, faults: faults)
            show(view, screen)
            round += 1
            if let count, round >= count { return }
            let next = figures.time + UInt64(interval * 1e9)
            while let wake = screen?.wait(until: next), wake != .time {
                guard wake == .size else { return }
                show(view, screen)
            }
            if screen == nil { MonotonicClock.wait(until: next) }
            before = figures
            figures = try WatchFigures(of: daemon)
        }
    }

    private func show(_ view: WatchView, _ screen: WatchScreen?) {
        if let screen {
            screen.show(view.lines(.output, height: screen.size.lines))
        } else if options.output == .json {
            StandardOutput.write(view.json.text + "\n")
        } else {
            StandardOutput.write(view.lines(.output, height: .max).joined(separator: "\n") + "\n\n")
        }
    }

    /// To the faults of all sessions, or of those that one may see.
    private func subscribe(_ daemon: Daemon) throws(Failure) {
        let kinds = JSONValue.array([.string("fault"), .string("smmu_event")])
        do throws(Failure) {
            _ = try daemon.call("events.subscribe", ["kinds": kinds, "all": .bool(true)])
        } catch .refused {
            _ = try daemon.call("events.subscribe", ["kinds": kinds])
        } catch {
            throw error
        }
    }
}

extension MonotonicClock {
    /// Waits for a point of time, in nanoseconds.
    fileprivate static func wait(until time: UInt64) {
        var point = timespec(tv_sec: Int(time / 1_000_000_000), tv_nsec: Int(time % 1_000_000_000))
        while clock_nanosleep(CLOCK_MONOTONIC, Int32(TIMER_ABSTIME), &point, nil) == EINTR {}
    }
}
