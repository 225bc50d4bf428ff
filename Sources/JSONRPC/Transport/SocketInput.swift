import CLinux
import Glibc
import LinuxIO

/// The receiving side of a connected Unix stream socket: tells exactly which bytes descriptors came with.
///
/// The kernel keeps what is sent in buffers, one for a message of up to 32 KiB; a longer message has its descriptors in
/// the first of several. Receiving runs over any number of buffers and stops behind the first with descriptors, so that
/// bytes sent before, in messages of their own, stand in front of those that the descriptors came with. Once they are
/// received nobody can tell them apart. A peek that has no room for descriptors stops at the same place and says that
/// there are some, without making any.
///
/// So that no descriptor, not even the first of a connection, is received before its buffer is found, a read *is* a
/// peek, from where the last one ended (SO_PEEK_OFF), and what has been read so is thrown away in one piece now and
/// then. Only a read that meets descriptors goes back: it receives the whole buffers in front of theirs, and then
/// theirs by itself.
///
/// A client that has sent many times without a descriptor pays for none of this: what it sends is received at once
/// where that is the faster way. The first descriptors that come then are as sure as ever where they come with one
/// line. Where they come with several, all that is known is that the last one has them: a line in front of that one is
/// refused a descriptor rather than given one that may be another's. Such a connection is read by peeks from then on.
struct SocketInput {
    /// What a read brought.
    enum Reading {
        case bytes(Int, isMoreLikely: Bool)
        /// Nothing is there now.
        case nothing
        /// The peer sends no more.
        case end
        case failure
    }

    /// Its link closes it.
    private let socket: Int32
    /// Whether a peek can go on where the last one ended.
    private let hasOffset: Bool
    /// Bytes that have been read and are still at the front of what the kernel keeps.
    private var kept = 0
    private var keptReads = 0
    /// Reads since the beginning that brought no descriptors; never many where one has come.
    private var plainReads = 0
    /// Whether the last read brought more than one line, or less.
    private var isPipelining = false

    /// From so many on nobody expects that the client begins with descriptors for several lines of one message.
    private static let trustedReads = 64
    /// What is kept takes room that the client's sends wait for: once its socket is full, it is woken when three
    /// quarters are free, and each small buffer takes ten times its bytes.
    private static let maximumKept = 2 << 10
    /// A peek walks over what is kept: with many clients each piece of it has left the nearest cache by then.
    private static let maximumKeptReads = 4
    /// What is thrown away by one call.
    private static let maximumWaste = 64 << 10

    init(_ socket: Int32) {
        self.socket = socket
        hasOffset = clinux_set_peek_offset(socket, 0) == 0
    }

    /// Whether something is kept that ``discard()`` would give back.
    var isKeeping: Bool { kept > 0 }

    /// Reads bytes, and hands the descriptors that came with them to the connection.
    ///
    /// - Parameters:
    ///   - size: at least 64 KiB, so that a whole buffer fits.
    ///   - waiting: bytes of the connection's input that are not yet done with, and stand before those read.
    ///   - isCrowded: other clients wait for the same turn. One that is alone may sleep on its socket, and would be
    ///     woken for the room that receiving makes there: peeks let it sleep until its reply is there.
    mutating func read(
        into buffer: UnsafeMutablePointer<UInt8>, _ size: Int, behind waiting: Int, isCrowded: Bool,
        for connection: Connection
    ) -> Reading {
        if plainReads >= Self.trustedReads, isCrowded || isPipelining {
            return receiveAtOnce(into: buffer, size, behind: waiting, for: connection)
        }
        var hasDescriptors = false
        let peeked = clinux_peek(socket, buffer, size, &hasDescriptors)
        guard peeked > 0 else {
            if peeked == 0 { return .end }
            return peeked == -Int(EAGAIN) ? .nothing : .failure
        }
        guard !hasDescriptors else {
            plainReads = .min
            discard()
            if hasOffset { _ = clinux_set_peek_offset(socket, 0) }
            let before = clinux_receive_whole(socket, buffer, peeked)
            if before > 0 { return .bytes(before, isMoreLikely: true) }
            guard before == -Int(EFAULT) else { return .failure }
            return receiveFirst(into: buffer, size, behind: waiting, isSure: true, for: connection)
        }
        notePlain(buffer, peeked)
        kept &+= peeked
        keptReads &+= 1
        if keptReads >= Self.maximumKeptReads || kept >= Self.maximumKept || !hasOffset { discard() }
        return .bytes(peeked, isMoreLikely: peeked == size)
    }

    /// Gives back what is kept: a client is not to wait for room that nobody needs.
    mutating func discard() {
        guard kept > 0 else { return }
        let limit = min(kept, Self.maximumWaste)
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: limit) { waste in
            while kept > 0 {
                let count = recv(socket, waste.baseAddress, min(kept, limit), Int32(MSG_DONTWAIT))
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { break }
                kept -= count
            }
        }
        kept = 0
        keptReads = 0
    }

    private mutating func notePlain(_ bytes: UnsafeMutablePointer<UInt8>, _ count: Int) {
        plainReads &+= 1
        isPipelining = !Self.isSingleLine(bytes, count)
    }

    /// Whether the first line end is the last byte.
    @inline(__always)
    private static func isSingleLine(_ bytes: UnsafeMutablePointer<UInt8>, _ count: Int) -> Bool {
        memchr(bytes, Int32(UInt8(ascii: "\n")), count) == UnsafeMutableRawPointer(bytes + (count - 1))
    }

    /// Receives what is there, and with it the first descriptors, whichever of the lines they came with.
    private mutating func receiveAtOnce(
        into buffer: UnsafeMutablePointer<UInt8>, _ size: Int, behind waiting: Int, for connection: Connection
    ) -> Reading {
        discard()
        let reading = receiveFirst(into: buffer, size, behind: waiting, isSure: false, for: connection)
        guard case .bytes(let count, _) = reading else { return reading }
        notePlain(buffer, count)
        return reading
    }

    /// Receives the buffer at the front with its descriptors; the kernel stops behind it.
    ///
    /// - Parameter isSure: no buffer without descriptors stands before it.
    private mutating func receiveFirst(
        into buffer: UnsafeMutablePointer<UInt8>, _ size: Int, behind waiting: Int, isSure: Bool,
        for connection: Connection
    ) -> Reading {
        withUnsafeTemporaryAllocation(of: Int32.self, capacity: Int(CLINUX_SCM_MAX_FD)) { descriptors in
            var ancillary = clinux_ancillary()
            let count = clinux_receive(socket, buffer, size, descriptors.baseAddress, &ancillary)
            guard count > 0 else {
                if count == 0 { return .end }
                return count == -Int(EAGAIN) ? .nothing : .failure
            }
            if ancillary.fd_count > 0 || ancillary.truncated {
                plainReads = .min
                let isSure = isSure || Self.isSingleLine(buffer, count)
                for number in descriptors.prefix(Int(ancillary.fd_count)) {
                    connection.receive(Descriptor(adopting: number), with: waiting..<waiting + count, isSure: isSure)
                }
                if ancillary.truncated { connection.areDescriptorsLost = true }
                return .bytes(count, isMoreLikely: true)
            }
            return .bytes(count, isMoreLikely: isSure || count == size)
        }
    }
}
