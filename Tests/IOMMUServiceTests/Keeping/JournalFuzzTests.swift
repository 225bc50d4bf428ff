import Glibc
import IOMMU
import TestSupport
import Testing

@testable import Durability
@testable import IOMMUService

/// Whatever a journal says, a daemon that reads it stays up.
@Suite struct JournalFuzzTests {
    /// A journal of a session that has a bit of everything.
    private func content() throws -> [UInt8] {
        let keeping = try KeepingBench(store: 0)
        let client = try keeping.connect("vm")
        for request in [
            ("memory.create", #"{"size":1048576}"#), ("ioas.alloc", "{}"),
            ("ioas.map", #"{"ioas":1,"memory":1,"length":"0x10000","iova":"0x4000000"}"#),
            ("device.bind", #"{"name":"0000:01:00.0"}"#), ("fault.alloc", "{}"),
            ("hwpt.alloc", #"{"device":2,"pt":1,"flags":["nest_parent"]}"#),
            ("viommu.alloc", #"{"device":2,"hwpt":4,"type":"arm_smmuv3"}"#),
            ("vdevice.alloc", #"{"viommu":5,"device":2,"virt_id":7}"#), ("device.bind", #"{"name":"uacce0"}"#),
            ("device.attach", #"{"device":7,"pt":1}"#), ("mm.create", "{}"),
            ("mm.map", #"{"mm":1,"va":0,"memory":1,"length":65536}"#), ("sva.bind", #"{"device":7,"mm":1}"#),
            ("queue.open", #"{"device":7,"mm":1}"#), ("queue.start", #"{"queue":1}"#),
            ("device.add", #"{"name":"new0","smmu":"smmu0","stream_ids":[777]}"#), ("device.unbind", #"{"device":2}"#),
        ] { try client.call(request.0, request.1) }
        keeping.endTurn()
        keeping.keeper.compactAtOnce()
        try client.call("ioas.copy", #"{"src_ioas":1,"src_iova":"0x4000000","length":4096,"dst_ioas":1}"#)
        keeping.endTurn()
        return try #require(keeping.medium.content)
    }

    @Test func changedBytesAreNoticed() throws {
        let (content, keeping) = (try content(), try KeepingBench(store: 0))
        var random = SeededGenerator(seed: 7)
        var closed = 0
        for _ in 0..<60 {
            var changed = content
            changed[random.next(below: changed.count)] ^= UInt8(1) << random.next(below: 8)
            keeping.medium.content = changed
            try keeping.restart()
            if keeping.keeper.status != nil { closed += 1 }
        }
        #expect(closed == 60, "not one bit can change unnoticed")
    }

    @Test func recordsThatSayOtherThingsDoNoHarm() throws {
        let (content, keeping) = (try content(), try KeepingBench(store: 0))
        var random = SeededGenerator(seed: 8)
        for _ in 0..<150 {
            keeping.medium.content = Self.mutate(content, &random)
            try keeping.restart()
            // Whoever is served is served as always.
            guard keeping.keeper.status == nil else { continue }
            let client = try keeping.connect("vm")
            _ = try client.call("session.objects")
            _ = try client.answer("ioas.alloc", "{}")
        }
    }

    /// Records with some bytes changed, left out or twice, and right checksums.
    private static func mutate(_ content: [UInt8], _ random: inout SeededGenerator) -> [UInt8] {
        let buffer = RecordBuffer()
        var place = JournalHead.magic.count
        var isHead = true
        content.prefix(place).withUnsafeBytes { buffer.put(raw: $0) }
        while place + RecordBuffer.headBytes <= content.count {
            let length = content.withUnsafeBytes { Int($0.loadUnaligned(fromByteOffset: place, as: UInt32.self)) }
            var body = Array(content[(place + RecordBuffer.headBytes)...].prefix(length))
            place += RecordBuffer.headBytes + length
            if !isHead, random.next(below: 6) == 0, !body.isEmpty {
                body[random.next(below: body.count)] = UInt8(truncatingIfNeeded: random.next())
            }
            let copies = isHead ? 1 : random.next(below: 20) == 0 ? random.next(below: 3) : 1
            for _ in 0..<copies {
                let start = buffer.begin()
                body.withUnsafeBytes { buffer.put(raw: $0) }
                buffer.end(start)
            }
            isHead = false
        }
        return Array(buffer.bytes)
    }

    @Test func everyRecordReadsAsItWasWritten() throws {
        var reader = try JournalReader(try content())
        var count = 0
        while let record = try reader.next() {
            let buffer = RecordBuffer()
            record.write(to: buffer)
            let body = UnsafeRawBufferPointer(rebasing: buffer.bytes[RecordBuffer.headBytes...])
            #expect(try Record(body) == record)
            count += 1
        }
        #expect(count > 15)
    }

    @Test func theChecksumIsThatOfTheOthers() {
        // RFC 3720, B.4.
        let cases: [([UInt8], UInt32)] = [
            (Array(repeating: 0, count: 32), 0x8a91_36aa), (Array(repeating: 0xff, count: 32), 0x62a8_ab43),
            (Array(0..<32), 0x46dd_794e), (Array("123456789".utf8), 0xe306_9283),
        ]
        for (bytes, sum) in cases { #expect(bytes.withUnsafeBytes { CRC32C.sum($0) } == sum) }
    }
}
