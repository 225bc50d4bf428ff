/// What those who live on a loop's thread may ask of the loop without knowing it.
public protocol LoopServices: AnyObject {
    /// Calls `body` on this thread when the work at hand is done; in the order of the calls.
    func later(_ body: @escaping () -> Void)

    /// Long work in pieces: calls `piece` on this thread, in one turn after another, until it returns true: it is done.
    ///
    /// Users take turns, however much work each of them has. All pieces of a turn together take about a millisecond, if
    /// each returns when its budget is spent; descriptors and timers get their turn in between. The first piece runs in
    /// this turn or a later one, never before the call returns.
    ///
    /// - Parameter user: the uid on whose behalf it is done.
    func inPieces(for user: UInt32, _ piece: @escaping (_ budget: inout TurnBudget) -> Bool)

    /// Calls `ready` on this thread whenever there is something to read from a descriptor, or an error or hang-up is to
    /// be seen there; until it has been read, in every turn.
    ///
    /// - Returns: what keeps it watched: to be dropped before the descriptor is.
    /// - Throws: the errno of epoll_ctl(2): `EPERM` for a file that is always ready, `ENOMEM`, `ENOSPC`.
    func watch(_ descriptor: borrowing Descriptor, _ ready: @escaping () -> Void) throws(SystemError) -> DescriptorWatch
}

/// Who has a loop, and offers what that offers.
public protocol LoopHolder: LoopServices {
    /// The loop of the thread that it lives on.
    var loop: EventLoop { get }
}

extension LoopHolder {
    public func later(_ body: @escaping () -> Void) { loop.later(body) }

    public func inPieces(for user: UInt32, _ piece: @escaping (_ budget: inout TurnBudget) -> Bool) {
        loop.inPieces(for: user, piece)
    }

    public func watch(
        _ descriptor: borrowing Descriptor, _ ready: @escaping () -> Void
    ) throws(SystemError) -> DescriptorWatch {
        try loop.watch(descriptor, ready)
    }
}

/// Keeps a descriptor watched while it lives.
public final class DescriptorWatch {
    private var onEnd: (() -> Void)?

    /// - Parameter onEnd: stops the watching; called once.
    public init(onEnd: @escaping () -> Void) { self.onEnd = onEnd }

    /// Stops watching. Nothing is called afterwards, also if it is ready already.
    public func end() {
        onEnd?()
        onEnd = nil
    }

    deinit { end() }
}

private final class WatchHandler: EventHandler {
    private let call: () -> Void

    init(_ call: @escaping () -> Void) { self.call = call }

    func ready(_ events: EventMask) { call() }
}

extension EventLoop: LoopServices {
    public func watch(
        _ descriptor: borrowing Descriptor, _ ready: @escaping () -> Void
    ) throws(SystemError) -> DescriptorWatch {
        let registration = try register(descriptor.number, for: .input, WatchHandler(ready))
        return DescriptorWatch { [self] in unregister(registration) }
    }

    /// Calls `ready` once for each time that an eventfd is signalled, or for several at once; nobody reads it, so that
    /// whoever shares it cannot make that wait.
    ///
    /// - Parameters:
    ///   - descriptor: an eventfd, to be kept open while it is watched.
    ///   - user: the uid whose signals they are: users take turns.
    public func watchSignals(
        _ descriptor: SharedDescriptor, of user: UInt32, _ ready: @escaping () -> Void
    ) throws(SystemError) -> DescriptorWatch {
        let registration = try register(
            descriptor.number, for: [.input, .once], user: user, WatchHandler(ready))
        return DescriptorWatch { [self] in
            unregister(registration)
            withExtendedLifetime(descriptor) {}
        }
    }
}
