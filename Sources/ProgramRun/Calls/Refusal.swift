import Glibc
import JSONRPC

/// What a call of the program is answered with where it cannot be done: the errno that the kernel would give.
struct Refusal: Error {
    /// Positive.
    let errno: Int32
    /// What the terminal is told, once, where it is this emulation that cannot do it.
    var note: String?

    init(_ errno: Int32, note: String? = nil) { (self.errno, self.note) = (errno, note) }

    /// What the kernel does and this does not.
    static func missing(_ what: String, _ errno: Int32 = ENOTTY) -> Refusal {
        Refusal(errno, note: "\(what) is not emulated")
    }
}

extension Refusal {
    /// What the daemon says. The kernel has one errno for every way in which pages of the caller cannot be had.
    init(_ error: RPCError) {
        let ofCaller = ["va_not_permitted", "va_not_mapped", "mm_exited"]
        self.init(ofCaller.contains(error.reason) ? EFAULT : error.errno, note: Self.note(error))
    }

    /// A request that iommud takes for a mistake was put wrongly here.
    private static func note(_ error: RPCError) -> String? {
        error.code == RPCError.invalidParams || error.code == RPCError.methodNotFound ? error.message : nil
    }
}
