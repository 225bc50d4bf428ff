import CLinux
import Glibc

/// Who wants to know that a descriptor is ready.
public protocol EventHandler: AnyObject {
    func ready(_ events: EventMask)
}

/// Conditions of a descriptor. Errors and hang-ups are always reported.
public struct EventMask: OptionSet, Sendable {
    /// The bits as epoll(7) has them.
    public let rawValue: UInt32
    /// Bits as epoll(7) has them.
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// There is something to read, or the other side writes no more.
    public static let input = EventMask(rawValue: EPOLLIN.rawValue)
    /// There is room to write.
    public static let output = EventMask(rawValue: EPOLLOUT.rawValue)
    /// An error is pending.
    public static let error = EventMask(rawValue: EPOLLERR.rawValue)
    /// Both directions are shut down: the peer is gone.
    public static let hangUp = EventMask(rawValue: EPOLLHUP.rawValue)
    /// The peer sends no more; reported only if asked for.
    public static let inputEnds = EventMask(rawValue: EPOLLRDHUP.rawValue)
    /// Report each condition once, and again after ``EventLoop/modify(_:for:)``: the handler keeps track of the rest.
    public static let once = EventMask(rawValue: EPOLLET.rawValue)
}
