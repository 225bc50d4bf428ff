import IOMMU
import LinuxIO
import TestSupport
import Testing

@testable import EmulatedIOMMU

/// What the daemon and its helpers say to each other.
@Suite struct HelperWireTests {
    private static let works: [HelperRequest.Work] = [
        .openPID(7, uid: 1000, gid: 100), .openPidfd(uid: .max, gid: 0), .openFiles,
        .compare(9, others: []), .compare(9, others: Array(1...Int32(HelperRequest.mostCompared))),
        .touch(.max, write: true), .touch(0, write: false), .probe(count: 0),
        .probe(count: ForeignProbe.most),
        .move(.read(1, length: 2), previous: nil), .move(.write(3, length: 1 << 20), previous: 4),
        .move(.fill(5, length: 6, value: 7), previous: nil), .move(.copy(from: 8, to: 9, length: 10), previous: 0),
        .move(.checksum(11, length: 12), previous: .max), .check(13, length: .max, [.read, .write]),
    ]

    private static var requests: [HelperRequest] {
        works.map { HelperRequest(number: 1 << 40, uid: 1000, isWritable: true, hasQuery: false, work: $0) }
    }

    private static let refusal = IOMMUError(
        .EPERM, .notSameUser, "who, ü?", hint: "none", ["uid": .number(5), "address": .hex(6), "name": .text("x")])

    private static let replies: [HelperReply.Result] = [
        .opened(
            pid: 7, ProcessLayout(vdso: 1, stackEnd: 2, seed: -3),
            ProcessMemory.Facts(identity: .init(device: 4, inode: 5), isWritable: true, hasQuery: false)),
        .opened(
            pid: nil, ProcessLayout(), ProcessMemory.Facts(identity: nil, isWritable: false, hasQuery: true)),
        .refused(refusal), .refused(IOMMUError(.ESRCH, .mmExited, "", hint: "this is a test")), .compared([0, 1, -1]),
        .touched(ProcessArea(start: 0x1000, end: 0x2000, isReadable: true, isWritable: false)),
        .moved(checksum: nil), .moved(checksum: 8), .failed(.gone), .failed(.denied(9)), .failed(.unreachable(.max)),
        .probed([]), .probed((0..<ForeignProbe.most).map { $0 % 3 == 0 }),
    ]

    @Test func whatIsSaidIsHeard() {
        for request in Self.requests {
            #expect(request.bytes.count <= HelperRequest.largest)
            #expect(HelperRequest(request.bytes[...]) == request)
        }
        for result in Self.replies {
            let reply = HelperReply(number: 3, result: result)
            let heard = HelperReply(reply.bytes[...])
            #expect(heard?.number == 3 && heard.map { "\($0.result)" } == "\(result)")
        }
    }

    /// Less, or more, than a message is none.
    @Test func nothingElseIsHeard() {
        for bytes in Self.requests.map(\.bytes) {
            for length in bytes.indices { #expect(HelperRequest(bytes[..<length]) == nil) }
            #expect(HelperRequest((bytes + [0])[...]) == nil)
        }
        for bytes in Self.replies.map({ HelperReply(number: 3, result: $0).bytes }) {
            for length in bytes.indices { #expect(HelperReply(bytes[..<length]) == nil) }
            #expect(HelperReply((bytes + [0])[...]) == nil)
        }
        let long = HelperRequest(number: 1, uid: 1, work: .move(.read(0, length: (1 << 20) + 1), previous: nil))
        #expect(HelperRequest(long.bytes[...]) == nil, "no more than the buffer holds")
        let many = HelperRequest(number: 1, uid: 1, work: .compare(1, others: [Int32](repeating: 1, count: 65)))
        #expect(HelperRequest(many.bytes[...]) == nil)
        let foreign = HelperReply(
            number: 1, result: .refused(IOMMUError(.EINVAL, .badLength, "", hint: "this is a test")))
        #expect(HelperReply(foreign.bytes[...]) == nil, "no helper refuses that")
    }

    /// Whatever arrives is a message or nothing, and never the end.
    @Test func mutatedMessagesEndNobody() {
        var random = SeededGenerator(seed: 11)
        let messages = Self.requests.map(\.bytes) + Self.replies.map { HelperReply(number: 3, result: $0).bytes }
        var heard = 0
        for round in 0..<40_000 {
            var bytes = messages[round % messages.count]
            for _ in 0...Int.random(in: 0..<4, using: &random) {
                bytes[Int.random(in: bytes.indices, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            let (request, reply) = (HelperRequest(bytes[...]), HelperReply(bytes[...]))
            heard += (request == nil ? 0 : 1) + (reply == nil ? 0 : 1)
        }
        #expect(heard > 1000)
    }

    @Test func aLongRefusalFitsIntoAMessage() {
        let text = String(repeating: "ä", count: 5000)
        let members = (0..<20).map { "\($0)" + text }
        let refusal = members.reduce(IOMMUError(.EPERM, .notDumpable, text, hint: text)) { $0.with($1, .text(text)) }
        #expect(HelperReply(number: 1, result: .refused(refusal)).bytes.count <= HelperReply.largest)
    }
}
