import CLinux
import Glibc
import IOMMU
import LinuxIO
import SMMUv3
import TestSupport
import Testing

@testable import BareSMMU
@testable import IOMMUObjects

@Suite struct VirtualSMMUTests {
    /// A guest with 64 KiB of memory at each of two addresses: queues and stream table in one, tables in the other.
    private struct Guest {
        let laboratory: Laboratory
        let vsmmu: ObjectID
        let low: ObjectID
        let high: ObjectID
        static let lowBase: UInt64 = 0x4000_0000
        static let highBase: UInt64 = 0x8_0000_0000
        /// Layout of the low memory.
        static let (commands, events, streams) = (lowBase, lowBase + 0x1000, lowBase + 0x2000)
        static let context = highBase
        static let tables = highBase + 0x1000

        init(overrides: [IDRegister: UInt32] = [:]) throws {
            laboratory = try Laboratory()
            let context = laboratory.context
            vsmmu = try context.models.createVSMMU(overrides: overrides)
            low = try context.createMemory(size: 1 << 16, name: nil, huge: false)
            high = try context.createMemory(size: 1 << 16, name: nil, huge: false)
            try context.models.mapVSMMUMemory(vsmmu, memory: low, offset: 0, length: 1 << 16, gpa: Self.lowBase)
            try context.models.mapVSMMUMemory(vsmmu, memory: high, offset: 0, length: 1 << 16, gpa: Self.highBase)
        }

        func store(_ address: UInt64, _ words: [UInt64]) throws {
            let isHigh = address >= Self.highBase
            let offset = address - (isHigh ? Self.highBase : Self.lowBase)
            try laboratory.context.writeMemory(
                isHigh ? high : low, offset: offset,
                bytes: words.flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> (8 * $0)) } })
        }

        func load(_ address: UInt64) throws -> UInt64 {
            let isHigh = address >= Self.highBase
            let offset = address - (isHigh ? Self.highBase : Self.lowBase)
            return try laboratory.context.readMemory(isHigh ? high : low, offset: offset, length: 8)
                .reversed().reduce(0) { $0 << 8 | UInt64($1) }
        }

        func write(_ register: Register, _ value: UInt64) throws {
            try laboratory.context.models.write(
                vsmmu, offset: UInt64(register.rawValue), size: register.width, value
            ) { _ in }
        }

        func read(_ register: Register) throws -> UInt64 {
            try laboratory.context.models.mmioRead(vsmmu, offset: UInt64(register.rawValue), size: register.width)
        }

        /// Stream 1 goes through stage 1 tables that map one page, 0x1234_5000 to 0x9_8765_4000.
        func enable() throws {
            try store(Self.streams + 64, stageOneEntry.words)
            try store(Self.context, contextDescriptor.words)
            for level in 0..<3 as Range<UInt64> {
                let index = (0x1234_5000 as UInt64) >> (39 - 9 * level) & 0x1ff
                try store(Self.tables + level << 12 + index * 8, [Self.tables + (level + 1) << 12 | 3])
            }
            try store(Self.tables + 3 << 12 + (0x12345 & 0x1ff) * 8, [0x9_8765_4000 | 0xf43])
            try write(.STRTAB_BASE, Self.streams)
            try write(.STRTAB_BASE_CFG, 4)
            try write(.CMDQ_BASE, Self.commands | 4)
            try write(.EVENTQ_BASE, Self.events | 4)
            try write(.IRQ_CTRL, 0b101)
            try write(.CR0, 0b1101)
            #expect(try read(.CR0ACK) == 0b1101)
        }

        private var stageOneEntry: StreamTableEntry {
            var entry = StreamTableEntry()
            entry.V = true
            entry.Config = StreamConfiguration.stage1.rawValue
            entry.S1ContextPtr = Self.context
            entry.S1STALLD = true
            return entry
        }

        private var contextDescriptor: ContextDescriptor {
            var context = ContextDescriptor()
            (context.V, context.AA64, context.A, context.R, context.EPD1) = (true, true, true, true, true)
            (context.T0SZ, context.IPS, context.ASID, context.TTB0) = (16, 4, 9, Self.tables)
            return context
        }

        func translate(_ address: UInt64, stream: UInt32 = 1, pasid: UInt32? = nil) throws -> TranslationResult {
            try laboratory.context.models.translateVSMMU(
                vsmmu,
                TransactionRequest(streamID: stream, pasid: pasid, address: address, access: .read, privileged: false))
        }
    }

    private func fault(_ result: TranslationResult) -> FaultDescription? {
        if case .fault(let fault) = result.outcome { return fault }
        return nil
    }

    private func eventType(_ result: TranslationResult) -> EventType? {
        EventType.allCases.first { $0.name == fault(result)?.type }
    }

    @Test func theClientProgramsTheDevice() throws {
        let guest = try Guest()
        #expect(try guest.translate(0x77).outcome == .translated(try #require(output(try guest.translate(0x77)))))
        #expect(output(try guest.translate(0x77))?.address == 0x77, "bypass out of reset")
        try guest.enable()
        let first = try guest.translate(0x1234_5678)
        #expect(output(first)?.address == 0x9_8765_4678 && output(first)?.pageSize == 4096)
        #expect(!first.isCached)
        #expect(try guest.translate(0x1234_5000).isCached)
        let missing = try guest.translate(0x1234_6000)
        #expect(eventType(missing) == .F_TRANSLATION && fault(missing)?.isAborted == true)
        #expect(try guest.load(Guest.events) & 0xff == 0x10)
        #expect(try guest.load(Guest.events + 16) == 0x1234_6000)
        #expect(try guest.read(.EVENTQ_PROD) == 1)
        #expect(eventType(try guest.translate(0, stream: 2)) == .C_BAD_STE)
        #expect(guest.laboratory.takeEvents().filter { $0.kind == .vsmmuEvent }.count == 2)
        // Out of the tables, but not out of the TLB until the client says so.
        try guest.store(Guest.tables + 3 << 12 + (0x12345 & 0x1ff) * 8, [0])
        #expect(output(try guest.translate(0x1234_5000)) != nil)
        try guest.store(Guest.commands, Command.TLBI_NH_ASID(asid: 9).words + Command.SYNC().words)
        try guest.write(.CMDQ_PROD, 2)
        #expect(try guest.read(.CMDQ_CONS) == 2)
        #expect(eventType(try guest.translate(0x1234_5000)) == .F_TRANSLATION)
        let many = try guest.laboratory.context.models.translateVSMMU(
            guest.vsmmu,
            many: [1, 7].map {
                TransactionRequest(streamID: $0, pasid: nil, address: 0, access: .write, privileged: true)
            })
        #expect(many.map { eventType($0) } == [.F_TRANSLATION, .C_BAD_STE])
    }

    private func output(_ result: TranslationResult) -> TranslationOutput? {
        if case .translated(let output) = result.outcome { return output }
        return nil
    }

    @Test func holesAndTruncatedFilesAbort() throws {
        let guest = try Guest()
        try guest.enable()
        let context = guest.laboratory.context
        #expect(refusal { try context.closeMemory(guest.high) }?.errno == .EBUSY)
        try context.models.unmapVSMMUMemory(guest.vsmmu, gpa: Guest.highBase)
        #expect(eventType(try guest.translate(0x1234_5000)) == .F_CD_FETCH)
        #expect(refusal { try context.models.unmapVSMMUMemory(guest.vsmmu, gpa: Guest.highBase) }?.errno == .ENOENT)
        // The same memory in two pieces, unsealed and then cut short behind the context descriptor.
        let file = clinux_memfd_create("guest", false)
        let mirror = dup(file)
        defer { close(mirror) }
        try #require(ftruncate(file, 1 << 16) == 0)
        let bytes = try context.readMemory(guest.high, offset: 0, length: 1 << 16)
        #expect(bytes.withUnsafeBytes { pwrite(mirror, $0.baseAddress, $0.count, 0) } == bytes.count)
        let (shrinkable, _) = try context.importMemory(owned(file), name: nil)
        try context.models.mapVSMMUMemory(
            guest.vsmmu, memory: shrinkable, offset: 0x1000, length: 0xf000, gpa: Guest.tables)
        try context.models.mapVSMMUMemory(
            guest.vsmmu, memory: shrinkable, offset: 0, length: 0x1000, gpa: Guest.highBase)
        #expect(output(try guest.translate(0x1234_5000))?.address == 0x9_8765_4000)
        try #require(ftruncate(mirror, 0x1000) == 0)
        #expect(eventType(try guest.translate(0x1234_6000)) == .F_WALK_EABT)
        try context.models.unmapVSMMUMemory(guest.vsmmu, gpa: Guest.lowBase)
        try guest.write(.CMDQ_PROD, 1)
        #expect(try guest.read(.CMDQ_CONS) >> 24 == 2, "CERROR_ABT")
    }

    @Test func interruptsReachEventfds() throws {
        let guest = try Guest()
        try guest.enable()
        let context = guest.laboratory.context
        let eventfd = clinux_make_eventfd()
        defer { close(eventfd) }
        try context.models.setVSMMUInterrupt(guest.vsmmu, .evtq, descriptor: owned(dup(eventfd)))
        _ = try guest.translate(0)
        var count: UInt64 = 0
        #expect(Glibc.read(eventfd, &count, 8) == 8 && count >= 1)
        // A full counter does not stop anybody.
        count = .max - 1
        #expect(Glibc.write(eventfd, &count, 8) == 8)
        try guest.write(.EVENTQ_CONS, try guest.read(.EVENTQ_PROD))
        _ = try guest.translate(0)
        #expect(
            refusal { try context.models.setVSMMUInterrupt(guest.vsmmu, .evtq, descriptor: owned(dup(1))) }?.reason
                == .notAnEventfd)
        #expect(Glibc.read(eventfd, &count, 8) == 8)
        try context.models.setVSMMUInterrupt(guest.vsmmu, .evtq, descriptor: nil)
        try guest.write(.EVENTQ_CONS, try guest.read(.EVENTQ_PROD))
        _ = try guest.translate(0)
        #expect(Glibc.read(eventfd, &count, 8) == -1)
    }

    @Test func messageSignalledInterruptsAreWritten() throws {
        let guest = try Guest(overrides: [.IDR0: Identification.laboratory.IDR0 | 1 << 13])
        try guest.write(.EVENTQ_IRQ_CFG0, Guest.lowBase + 0xf000)
        try guest.write(.EVENTQ_IRQ_CFG1, 0xabcd)
        try guest.enable()
        _ = try guest.translate(0)
        #expect(try guest.load(Guest.lowBase + 0xf000) == 0xabcd)
    }

    @Test func whatCannotBeModelledIsNamed() throws {
        let laboratory = try Laboratory()
        let context = laboratory.context
        let endian = refusal {
            _ = try context.models.createVSMMU(overrides: [.IDR0: Identification.laboratory.IDR0 & ~(3 << 21)])
        }
        #expect(endian?.errno == .EINVAL && endian?.member("field") == .text("IDR0.TTENDIAN"))
        let vsmmus = try (0..<16).map { _ in try context.models.createVSMMU() }
        #expect(refusal { _ = try context.models.createVSMMU() }?.errno == .EDQUOT)
        for vsmmu in vsmmus { try context.models.destroyVSMMU(vsmmu) }
        #expect(context.isEmpty)
        #expect(refusal { try context.models.destroyVSMMU(1) }?.errno == .ENOENT)
    }

    @Test func badRequestsChangeNothing() throws {
        let guest = try Guest()
        let context = guest.laboratory.context
        func map(_ gpa: UInt64, _ offset: UInt64, _ length: UInt64) throws {
            try context.models.mapVSMMUMemory(guest.vsmmu, memory: guest.low, offset: offset, length: length, gpa: gpa)
        }
        #expect(refusal { try map(1, 0, 4096) }?.errno == .EINVAL)
        #expect(refusal { try map(0, 0, 0) }?.errno == .EINVAL)
        #expect(refusal { try map(0, 0x8000, 0x9000) }?.errno == .EINVAL)
        #expect(refusal { try map(.max - 0xfff, 0, 0x2000) }?.errno == .EINVAL)
        #expect(refusal { try map(Guest.lowBase + 0xf000, 0, 0x1000) }?.errno == .EEXIST)
        #expect(refusal { try map(Guest.lowBase - 0x1000, 0, 0x2000) }?.errno == .EEXIST)
        for (offset, size) in [(0x20002, 4), (0x22, 4), (0x20, 3), (0x80, 2), (UInt64.max, 8), (0x24, 8)]
            as [(UInt64, Int)]
        {
            #expect(
                refusal { _ = try context.models.mmioRead(guest.vsmmu, offset: offset, size: size) }?.errno == .EINVAL)
        }
        #expect(
            refusal { try context.models.mmioWrite(guest.vsmmu, offset: 0x20, size: 4, value: 1 << 32) }?.errno
                == .EINVAL)
        #expect(try context.models.mmioRead(guest.vsmmu, offset: 0x1fffc, size: 4) == 0)
        #expect(context.objects().filter { $0.kind == "vsmmu" }.map(\.refersTo.count) == [2])
    }

    /// 4096 commands fill the high memory.
    @Test func longCommandQueuesAreWorkedOffInSteps() throws {
        let guest = try Guest()
        let context = guest.laboratory.context
        try guest.store(Guest.highBase, (0..<4096).flatMap { _ in [Command.SYNC().word0, Command.SYNC().word1] })
        try guest.write(.CMDQ_BASE, Guest.highBase | 12)
        try guest.write(.CR0, 1 << 3)
        let producer = UInt64(Register.CMDQ_PROD.rawValue)
        #expect(try context.models.mmioWrite(guest.vsmmu, offset: producer, size: 4, value: 2048) == false)
        var done = try guest.read(.CMDQ_CONS)
        #expect((16...1024).contains(done))
        var isLast = false
        while !isLast {
            var budget = TurnBudget(units: 1)
            isLast = try context.models.consumeVSMMUCommands(guest.vsmmu, &budget)
            done = min(done + 16, 2048)
            #expect(try guest.read(.CMDQ_CONS) == done)
        }
        #expect(done == 2048)
        // Around the end of the queue, and gone in the middle of it.
        #expect(try context.models.mmioWrite(guest.vsmmu, offset: producer, size: 4, value: 4096) == false)
        try context.models.destroyVSMMU(guest.vsmmu)
        var budget = TurnBudget(units: 1)
        #expect { try context.models.consumeVSMMUCommands(guest.vsmmu, &budget) } throws: {
            ($0 as? IOMMUError)?.errno == .ENOENT
        }
    }
}
