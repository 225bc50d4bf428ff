import Glibc
import Synchronization

/// One value from one thread to another.
package final class Handover<Value: Sendable>: Sendable {
    private let value = Mutex<Value?>(nil)
    private let ends: (read: Int32, write: Int32)

    /// Nothing is handed over yet.
    package init() {
        var both: [Int32] = [-1, -1]
        _ = pipe(&both)
        ends = (both[0], both[1])
    }

    deinit {
        close(ends.read)
        close(ends.write)
    }

    /// Hands a value over; once.
    package func put(_ new: Value?) {
        value.withLock { $0 = new }
        _ = write(ends.write, "x", 1)
    }

    /// Waits for the value.
    package func wait() -> Value? {
        var byte: UInt8 = 0
        _ = read(ends.read, &byte, 1)
        return value.withLock { $0 }
    }
}
