import JSONRPC
import LinuxIO
import Systemd

/// Tells the service manager how many clients there are, at most once a second and only when it has changed.
final class StatusReporter {
    private static let interval: UInt64 = 1_000_000_000

    private let service: Service
    private let loop: EventLoop
    private let manager: any ServiceNotifying
    private let log: DaemonLog
    private var isDue = false
    private var last = ""
    /// Why the last reload changed nothing; shown until one does.
    var refusal: String?

    /// What the service manager shows.
    var status: String { refusal.map { "\(service.status); \($0)" } ?? service.status }

    init(service: Service, loop: EventLoop, manager: any ServiceNotifying, log: DaemonLog) {
        self.service = service
        self.loop = loop
        self.manager = manager
        self.log = log
    }

    func changed() {
        guard !isDue else { return }
        isDue = true
        loop.schedule(after: Self.interval) { [weak self] in self?.report() }
    }

    private func report() {
        isDue = false
        let status = status
        guard status != last else { return }
        last = status
        manager.announce(.status(status), log: log.logger)
    }
}
