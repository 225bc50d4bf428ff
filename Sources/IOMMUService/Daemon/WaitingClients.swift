import CLinux
import Glibc
import IOMMU
import JSONRPC
import LinuxIO
import Systemd

/// Clients on sockets that the service manager passed, while the daemon cannot serve them.
///
/// A daemon that ended without a word would leave them waiting, and the service manager would start the next one for
/// them at once, again and again, until it gave the socket up.
struct WaitingClients {
    private var listeners: [(listener: UnixListener, isForMetrics: Bool)] = []

    /// How long those are answered who come after the first, in nanoseconds: so much time at least lies between one
    /// start and the next, however often a client tries again.
    private static let patience: UInt64 = 1_000_000_000
    private static let unwantedBytes = 64 << 10
    /// Connections kept open behind their answers: who has connected and not asked yet could not do so any more.
    private static let kept = 256

    /// Of the passed descriptors, the sockets that listen.
    init(_ passed: [PassedDescriptor]) {
        for descriptor in passed where descriptor.isForMetrics || descriptor.kind == .unixListener {
            guard let listener = try? UnixListener(adopting: descriptor.descriptor.duplicate()) else { continue }
            listeners.append((listener, descriptor.isForMetrics))
        }
    }

    /// Tells everybody who waits what is wrong with the configuration. Without anybody it returns at once.
    func refuse(_ error: ConfigurationError) {
        let line = Self.refusal(error).line
        let page = HTTPResponse.unavailable(error.lines.map { "\($0)\n" }.joined()).bytes(withoutBody: false)
        var end: UInt64?
        var answered: [SharedDescriptor] = []
        repeat {
            var hasAnswered = false
            for (listener, isForMetrics) in listeners {
                while case let socket = clinux_accept(listener.descriptor), socket >= 0 {
                    if answered.count == Self.kept { answered.removeFirst() }
                    answered.append(Self.answer(Descriptor(adopting: socket), isForMetrics ? page : line))
                    hasAnswered = true
                }
            }
            if hasAnswered, end == nil { end = MonotonicClock.nanoseconds &+ Self.patience }
        } while waitForOthers(until: end)
    }

    /// What a client is told.
    static func refusal(_ error: ConfigurationError) -> RPCError {
        RPCError(
            errno: EINVAL, reason: Reason.configurationUnusable.slug,
            message: "the daemon does not start with this configuration: \(error.statement)", hint: error.remedy
        ).with("file", .string(error.file))
    }

    /// - Parameter end: nil: nobody has come.
    private func waitForOthers(until end: UInt64?) -> Bool {
        guard let end, case let now = MonotonicClock.nanoseconds, now < end else { return false }
        var questions = listeners.map { pollfd(fd: $0.listener.descriptor, events: Int16(POLLIN), revents: 0) }
        poll(&questions, nfds_t(questions.count), Int32((end - now) / 1_000_000 + 1))
        return true
    }

    private static func answer(_ socket: consuming Descriptor, _ bytes: [UInt8]) -> SharedDescriptor {
        // What is left unread would turn the end of the connection into an error.
        var unwanted = [UInt8](repeating: 0, count: unwantedBytes)
        _ = recv(socket.number, &unwanted, unwanted.count, Int32(MSG_DONTWAIT))
        _ = bytes.withUnsafeBytes { clinux_send(socket.number, $0.baseAddress, $0.count, nil, 0) }
        _ = shutdown(socket.number, Int32(SHUT_WR))
        return SharedDescriptor(socket)
    }
}
