import CLinux
import Glibc

extension Outbox {
    /// How far sending got.
    enum Progress {
        case all
        /// The client has to read first.
        case blocked
        /// The kernel refuses more descriptors in flight for this user.
        case shortOfReferences
        /// The client receives no more.
        case broken
    }

    /// Sends what the socket takes.
    mutating func send(to socket: Int32) -> Progress {
        while sendable > 0 {
            let result = sendSome(to: socket)
            guard result >= 0 else {
                switch -result {
                case Int(EAGAIN): return .blocked
                case Int(ETOOMANYREFS): return .shortOfReferences
                default: return .broken
                }
            }
            didSend(result)
        }
        return .all
    }

    /// One send: of bytes up to the next reply with descriptors, or of that reply with them.
    private mutating func sendSome(to socket: Int32) -> Int {
        let start = bytes.pointee.base + head
        guard let next = attachments.first else { return clinux_send(socket, start, sendable, nil, 0) }
        let distance = next.position - sent
        guard distance <= 0 else { return clinux_send(socket, start, min(distance, sendable), nil, 0) }
        let numbers = next.descriptors.map(\.number)
        let result = clinux_send(socket, start, next.end - sent, numbers, Int32(numbers.count))
        if result > 0 { dropFirstAttachment() }
        return result
    }
}
