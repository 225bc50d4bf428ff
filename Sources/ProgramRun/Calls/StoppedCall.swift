import CLinux
import Glibc
import LinuxIO

/// A system call of the program that waits for its answer.
struct StoppedCall {
    /// Which one.
    enum Kind {
        case ioctl, open, openWithHow, read, write, status, statx, other

        init(_ number: Int32) {
            switch Int(number) {
            case Int(CLINUX_CALL_IOCTL): self = .ioctl
            case CLINUX_CALL_OPENAT: self = .open
            case CLINUX_CALL_OPENAT2: self = .openWithHow
            case CLINUX_CALL_PREAD: self = .read
            case CLINUX_CALL_PWRITE: self = .write
            case Int(CLINUX_CALL_FSTAT): self = .status
            case Int(CLINUX_CALL_STATX): self = .statx
            default: self = .other
            }
        }
    }

    /// Of the notification.
    let id: UInt64
    /// The thread that makes it.
    let thread: Int32
    let kind: Kind
    let arguments: [UInt64]

    init(_ call: clinux_notification) {
        (id, thread, kind) = (call.id, call.thread, Kind(call.call))
        let (first, second, third, fourth, fifth, sixth) = call.args
        arguments = [first, second, third, fourth, fifth, sixth]
    }

    /// The descriptor of all but opens, and their folder.
    var descriptor: Int32 { Int32(truncatingIfNeeded: arguments[0]) }
}

/// Where calls arrive that are stopped, and are answered.
final class CallListener {
    private let listener: Descriptor
    /// Readable while a call waits to be taken.
    var descriptor: Int32 { listener.number }

    init(_ listener: consuming Descriptor) {
        clinux_prefer_same_cpu(listener.number)
        self.listener = listener
    }

    /// The next call; nil if it is gone again.
    func next() throws(SystemError) -> StoppedCall? {
        var call = clinux_notification()
        let result = clinux_next_call(listener.number, &call)
        if result == -EAGAIN { return nil }
        try SystemError.check(result, "wait for calls of the program")
        return StoppedCall(call)
    }

    /// Whether the call still waits: what was read of its thread is its own then.
    func waits(_ call: StoppedCall) -> Bool { clinux_call_waits(listener.number, call.id) }

    // A call that has gone meanwhile has no use for an answer.

    /// Ends a call with a value.
    func answer(_ call: StoppedCall, _ value: Int64) { _ = clinux_answer_call(listener.number, call.id, value, 0) }

    /// Ends a call with an errno.
    func refuse(_ call: StoppedCall, _ errno: Int32) { _ = clinux_answer_call(listener.number, call.id, 0, errno) }

    /// The kernel carries it out as if nobody had stopped it.
    func letGoOn(_ call: StoppedCall) { _ = clinux_let_call_go_on(listener.number, call.id) }

    /// Gives the program a descriptor.
    ///
    /// - Parameter answers: ends the call with its number.
    func give(
        _ descriptor: borrowing Descriptor, for call: StoppedCall, closeOnExec: Bool, answers: Bool,
        at number: Int32 = -1
    ) throws(Refusal) -> Int32 {
        let result = clinux_give_descriptor(
            listener.number, call.id, descriptor.number, closeOnExec, answers, number)
        guard result >= 0 else { throw Refusal(-result) }
        return result
    }
}
