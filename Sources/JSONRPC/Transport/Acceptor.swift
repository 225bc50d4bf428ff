import CLinux
import Glibc

/// Accepts connections on one listener.
final class Acceptor: EventHandler {
    private let listener: UnixListener
    private unowned let server: Server
    private let loop: EventLoop
    private var retry: TimerID?
    private var registration: EventLoop.Registration?
    private var isPaused = false

    /// Connections accepted before others get their turn.
    private static let perTurn = 64
    /// How long to leave a full descriptor table alone: the listen queue keeps the clients meanwhile.
    private static let pause: UInt64 = 100_000_000

    init(_ listener: UnixListener, _ server: Server) {
        self.listener = listener
        self.server = server
        loop = server.loop
    }

    func start() throws(SystemError) {
        registration = try loop.register(listener.descriptor, for: .input, self)
    }

    func stop() {
        if let registration { loop.unregister(registration) }
        registration = nil
        retry.map(loop.cancel)
        listener.shutDown()
    }

    func ready(_ events: EventMask) {
        for _ in 0..<Self.perTurn {
            guard !server.isFull else { return pause() }
            let socket = clinux_accept(listener.descriptor)
            if socket >= 0 {
                server.add(Descriptor(adopting: socket))
                continue
            }
            switch -socket {
            case EINTR, ECONNABORTED, EPROTO: continue
            case EAGAIN: return
            default: return pauseForAWhile()
            }
        }
    }

    /// A readable listener that is not accepted from would spin the loop.
    private func pause() {
        guard !isPaused, let registration else { return }
        isPaused = true
        loop.modify(registration, for: [])
    }

    /// Descriptors or memory are short: somebody else may free some.
    private func pauseForAWhile() {
        pause()
        retry = loop.schedule(after: Self.pause) { [unowned self] in resume() }
    }

    func resume() {
        guard isPaused, let registration else { return }
        isPaused = false
        loop.modify(registration, for: .input)
    }
}
