import IOMMU
import SMMUv3
import TestSupport
import Testing

@testable import EmulatedIOMMU
@testable import IOMMUObjects

/// An SMMU that hears the CPUs' TLB maintenance (BTM) shares their ASIDs.
@Suite struct BroadcastTests {
    private func commands(_ laboratory: Laboratory, since sequence: UInt64 = 0) -> [Command] {
        laboratory.backend.smmus[1].driver.queue.commands(since: sequence, limit: 10_000).map(\.command)
    }

    private func attached(_ laboratory: Laboratory) throws -> (device: ObjectID, ioas: ObjectID, memory: ObjectID) {
        let context = laboratory.context
        let device = try laboratory.bind("0001:01:00.0")
        let ioas = try context.allocateIOAS()
        let memory = try context.createMemory(size: 1 << 20, name: nil, huge: false)
        _ = try context.attach(device: device, to: ioas, pasid: nil)
        _ = try context.map(
            ioas: ioas,
            MapRequest(
                memory: memory, offset: 0, length: 4096, iova: 0x1000, access: [.read, .write]))
        return (device, ioas, memory)
    }

    @Test func aDomainInTheWayMovesAndLosesNothing() throws {
        let laboratory = try Laboratory()
        let context = laboratory.context
        let (device, ioas, memory) = try attached(laboratory)
        let master = try laboratory.backend.device(named: "0001:01:00.0").master
        let domain = try #require(master.attachment.pagingDomain)
        let old = domain.tag
        try laboratory.write(device, 0x1000, [1])
        let mm = try context.emulated.createMM()
        try context.emulated.mapMM(
            mm, va: 0x1000, memory: memory, offset: 4096, length: 4096, access: [.read, .write], populate: true)
        let sequence = laboratory.backend.smmus[1].driver.queue.issued
        let (bond, pasid, asid) = try context.emulated.bindSVA(device: device, mm: mm)
        #expect(asid == UInt32(old) && domain.tag != old)
        #expect(context.emulated.bonds().first?.btm == true)
        let issued = commands(laboratory, since: sequence)
        #expect(
            issued.contains { $0.opcode == .TLBI_NH_ASID && $0.ASID == old }, "before the ASID means something else")
        #expect(try laboratory.read(device, 0x1000, 1) == [1])
        try laboratory.write(device, pasid: pasid, 0x1000, [2])
        #expect(try laboratory.read(device, 0x1000, 1) == [1])
        #expect(try laboratory.read(device, pasid: pasid, 0x1000, 1) == [2])
        // The moved domain is invalidated under its new ASID.
        _ = try context.unmap(ioas: ioas, iova: 0x1000, length: 4096)
        #expect(refusal { _ = try laboratory.read(device, 0x1000, 1) }?.eventType == "F_TRANSLATION")
        #expect(try laboratory.read(device, pasid: pasid, 0x1000, 1) == [2])
        #expect(try context.emulated.unbindSVA(bond: bond) == 0)
        #expect((laboratory.backend.sva.cpuASIDs as? TagAllocator)?.inUse == 0)
    }

    @Test func noRangeIsInvalidatedByCommandForSharedASIDs() throws {
        let laboratory = try Laboratory()
        let context = laboratory.context
        let (device, _, memory) = try attached(laboratory)
        let mm = try context.emulated.createMM()
        try context.emulated.mapMM(
            mm, va: 0x10_0000, memory: memory, offset: 0, length: 1 << 16, access: [.read], populate: true)
        let (_, pasid, _) = try context.emulated.bindSVA(device: device, mm: mm)
        #expect(try laboratory.read(device, pasid: pasid, 0x10_0000, 1 << 16).count == 1 << 16)
        let sequence = laboratory.backend.smmus[1].driver.queue.issued
        try context.emulated.unmapMM(mm, va: 0x10_0000, length: 4096)
        #expect(
            !commands(laboratory, since: sequence).contains { "\($0.opcode.map { "\($0)" } ?? "")".hasPrefix("TLBI") })
        #expect(refusal { _ = try laboratory.read(device, pasid: pasid, 0x10_0000, 1) }?.errno == .EFAULT)
        // The same on an SMMU that hears nothing takes a command.
        let deaf = try laboratory.bind("0000:03:00.0")
        _ = try context.emulated.bindSVA(device: deaf, mm: mm)
        let other = laboratory.backend.smmus[0].driver.queue.issued
        try context.emulated.unmapMM(mm, va: 0x10_1000, length: 4096)
        let explicit = laboratory.backend.smmus[0].driver.queue.commands(since: other, limit: 100)
        #expect(explicit.contains { $0.command.opcode == .TLBI_NH_VA })
    }

    @Test func cpusCanInvalidateByThemselves() throws {
        let laboratory = try Laboratory()
        let context = laboratory.context
        let (device, _, memory) = try attached(laboratory)
        let mm = try context.emulated.createMM()
        try context.emulated.mapMM(
            mm, va: 0x10_0000, memory: memory, offset: 0, length: 8192, access: .read, populate: true)
        let (_, pasid, _) = try context.emulated.bindSVA(device: device, mm: mm)
        let smmu = laboratory.backend.smmus[1].smmu
        func isCached(_ address: UInt64) -> Bool {
            smmu.inspect(
                Transaction(streamID: 0x100, substreamID: pasid, address: address, access: .read), trace: false
            ).isCached
        }
        _ = try laboratory.read(device, pasid: pasid, 0x10_0000, 8192)
        #expect(isCached(0x10_0000) && isCached(0x10_1000))
        try context.emulated.broadcastTLBI(mm: mm, va: 0x10_1000, length: 4096)
        #expect(isCached(0x10_0000) && !isCached(0x10_1000))
        try context.emulated.broadcastTLBI(mm: mm, va: nil, length: nil)
        #expect(!isCached(0x10_0000))
        #expect(refusal { try context.emulated.broadcastTLBI(mm: 77, va: nil, length: nil) }?.errno == .ENOENT)
    }

    @Test func aCPUsASIDThatTheSMMUDoesNotHaveIsRefused() throws {
        let laboratory = try Laboratory { $0.smmus[1].asidBits = 8 }
        let context = laboratory.context
        let device = try laboratory.bind("0001:01:00.0")
        let bonds = try (1...255 as ClosedRange<UInt32>).map { asid in
            let made = try context.emulated.bindSVA(device: device, mm: try context.emulated.createMM())
            #expect(made.asid == asid)
            return made.bond
        }
        let mm = try context.emulated.createMM()
        let refused = refusal { _ = try context.emulated.bindSVA(device: device, mm: mm) }
        #expect(refused?.errno == .ENOSPC && refused?.reason == .asidExhausted)
        #expect((laboratory.backend.sva.cpuASIDs as? TagAllocator)?.inUse == 255)
        #expect((laboratory.backend.sva.pasids as? TagAllocator)?.inUse == 255)
        _ = try context.emulated.unbindSVA(bond: bonds[6])
        #expect(try context.emulated.bindSVA(device: device, mm: mm).asid == 7)
    }

    @Test func withoutASecondASIDNothingMoves() throws {
        let laboratory = try Laboratory()
        let context = laboratory.context
        let (device, _, memory) = try attached(laboratory)
        let driver = laboratory.backend.smmus[1].driver
        let point = FailurePoint()
        driver.asids = FailingTags(driver.asids, point)
        let domain = try #require(try laboratory.backend.device(named: "0001:01:00.0").master.attachment.pagingDomain)
        let mm = try context.emulated.createMM()
        let old = domain.tag
        point.arm(after: 0)
        #expect(refusal { _ = try context.emulated.bindSVA(device: device, mm: mm) }?.reason == .injected)
        point.disarm()
        #expect(domain.tag == old)
        try laboratory.write(device, 0x1000, [7])
        #expect(try context.readMemory(memory, offset: 0, length: 1) == [7])
        #expect((laboratory.backend.sva.cpuASIDs as? TagAllocator)?.inUse == 0)
        #expect(try context.emulated.bindSVA(device: device, mm: mm).asid == UInt32(old))
    }

    /// ASIDs move back and forth under a domain that is used and changed all the time.
    @Test func nothingIsStaleOrLostWhileASIDsMove() throws {
        let laboratory = try Laboratory()
        let context = laboratory.context
        let (device, ioas, memory) = try attached(laboratory)
        let domain = try #require(try laboratory.backend.device(named: "0001:01:00.0").master.attachment.pagingDomain)
        for page in 0..<64 as Range<UInt64> {
            try context.writeMemory(memory, offset: page << 12, bytes: [UInt8(page) + 1])
        }
        var random = SeededGenerator(seed: 0x5a)
        var mapped: [UInt64: UInt8] = [0x1000: 1]
        var bonds: [(mm: ObjectID, bond: ObjectID, pasid: UInt32, page: UInt64)] = []
        var tags: Set<UInt16> = []
        for _ in 0..<600 {
            switch UInt64.random(in: 0..<4, using: &random) {
            case 0:
                let (iova, page) = (
                    UInt64.random(in: 1..<8, using: &random) << 12, UInt64.random(in: 0..<64, using: &random)
                )
                if mapped[iova] != nil { _ = try context.unmap(ioas: ioas, iova: iova, length: 4096) }
                _ = try context.map(
                    ioas: ioas,
                    MapRequest(
                        memory: memory, offset: page << 12, length: 4096, iova: iova, access: .read))
                mapped[iova] = UInt8(page) + 1
            case 1:
                guard let iova = mapped.keys.min() else { break }
                _ = try context.unmap(ioas: ioas, iova: iova, length: 4096)
                mapped[iova] = nil
            case 2:
                let page = UInt64.random(in: 0..<64, using: &random)
                let mm = try context.emulated.createMM()
                try context.emulated.mapMM(
                    mm, va: 0x1000, memory: memory, offset: page << 12, length: 4096, access: .read, populate: true)
                let bound = try context.emulated.bindSVA(device: device, mm: mm)
                bonds.append((mm, bound.bond, bound.pasid, page))
            default:
                guard !bonds.isEmpty else { break }
                let gone = bonds.remove(at: Int.random(in: 0..<bonds.count, using: &random))
                #expect(try context.emulated.unbindSVA(bond: gone.bond) == 0)
                try context.emulated.closeMM(gone.mm)
            }
            tags.insert(domain.tag)
            for iova in 1..<8 as Range<UInt64> {
                let seen = try? laboratory.read(device, iova << 12, 1).first
                #expect(seen == mapped[iova << 12])
            }
            for bond in bonds {
                #expect(try laboratory.read(device, pasid: bond.pasid, 0x1000, 1) == [UInt8(bond.page) + 1])
            }
        }
        #expect(tags.count > 1, "it did move")
    }
}
