import CLinux
import Glibc

/// Accepts connections on one listener, for as long as their owner has room for them.
public final class Acceptor: EventHandler {
    private let listener: UnixListener
    private let loop: EventLoop
    private let isFull: () -> Bool
    private let take: (consuming Descriptor) -> Void
    private var retry: TimerID?
    private var registration: EventLoop.Registration?
    private var isPaused = false

    /// Connections accepted before others get their turn.
    private static let perTurn = 16
    /// How long to leave a full descriptor table alone: the listen queue keeps the clients meanwhile.
    private static let pause: UInt64 = 100_000_000

    /// - Parameters:
    ///   - isFull: Whether no more connections are wanted now; ``resume()`` says when that may have changed.
    ///   - take: Gets each accepted socket, which is non-blocking and closed on exec.
    public init(
        _ listener: UnixListener, loop: EventLoop, isFull: @escaping () -> Bool,
        take: @escaping (consuming Descriptor) -> Void
    ) {
        self.listener = listener
        self.loop = loop
        self.isFull = isFull
        self.take = take
    }

    /// Begins to accept.
    public func start() throws(SystemError) {
        registration = try loop.register(listener.descriptor, for: .input, self)
    }

    /// Accepts no more, for good, and shuts the listener down.
    public func stop() {
        if let registration { loop.unregister(registration) }
        registration = nil
        retry.map(loop.cancel)
        listener.shutDown()
    }

    public func ready(_ events: EventMask) {
        for _ in 0..<Self.perTurn {
            guard !isFull() else { return pause() }
            let socket = clinux_accept(listener.descriptor)
            if socket >= 0 {
                take(Descriptor(adopting: socket))
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
        // A connection that ended may have resumed it before its time, to no avail: one timer is enough to stop.
        retry.map(loop.cancel)
        retry = loop.schedule(after: Self.pause) { [weak self] in self?.resume() }
    }

    /// There may be room again.
    public func resume() {
        guard isPaused, let registration else { return }
        isPaused = false
        loop.modify(registration, for: .input)
    }
}
