import IOMMU
import SMMUv3
import TestSupport
import Testing

/// A VMM that keeps translations and drops what it is told never uses a stale one, where the guest says exactly as much
/// as the architecture asks of it.
@Suite struct CachingVMMTests {
    private static func run(
        _ steps: [CachingStep], knowsTags: Bool, hasTags: Bool, hits: inout Int
    ) throws -> RandomRun<CachingStep>.Failure? {
        let world = try CachingWorld(knowsTags: knowsTags, hasTags: hasTags)
        defer { hits = world.vmm.vmm.hits }
        for (index, step) in steps.enumerated() {
            if let wrong = try world.apply(step) { return (index, wrong) }
        }
        return nil
    }

    @Test(arguments: 0..<12 as Range<UInt64>) func nothingStaleIsEverUsed(_ seed: UInt64) throws {
        var generator = SeededGenerator(seed: 7_000 + seed)
        let (knowsTags, hasTags) = (seed & 1 == 0, seed % 3 == 2)
        let steps = (0..<4_000).map { _ in generator.cachingStep(hasTags: hasTags) }
        var hits = 0
        let complaint = try RandomRun(budget: 60_000) {
            try Self.run($0, knowsTags: knowsTags, hasTags: hasTags, hits: &hits)
        }.complaint(about: steps)
        #expect(complaint == nil, "seed \(seed) \(complaint ?? "")")
        // What is never kept is never stale.
        #expect(complaint != nil || hits > 100, "seed \(seed): \(hits)")
    }

    /// The method itself: who is not told uses what is stale.
    @Test func whatIsNotToldShows() throws {
        let world = try CachingWorld(knowsTags: true, hasTags: false)
        let access = CachingStep.access(stream: 1, place: 0, page: 0, kind: 0, tag: 0)
        func map(_ frame: UInt64) -> CachingStep {
            .map(table: 0, place: 0, level: 3, frame: frame, isGlobal: false, how: .address)
        }
        for step in [map(1), access, map(2), access] { #expect(try world.apply(step) == nil) }
        world.vmm.vmm.isDeaf = true
        #expect(try world.apply(map(3)) == nil)
        #expect(try world.apply(access) != nil)
    }

    /// Stage 2 maps a block of stage 1 in pieces: a TLBI for one of them is for all.
    @Test(arguments: [false, true]) func aBlockInPiecesGoesAsAWhole(knowsTags: Bool) throws {
        let world = try CachingWorld(knowsTags: knowsTags, hasTags: false)
        func access(_ place: Int) -> CachingStep { .access(stream: 3, place: place, page: 0, kind: 0, tag: 0) }
        func map(_ place: Int, _ level: UInt64, _ frame: UInt64?) -> CachingStep {
            .map(table: 2, place: place, level: level, frame: frame, isGlobal: false, how: .address)
        }
        for step in [map(0, 2, 0), access(0), access(1), map(1, 2, 2), access(0), access(1)] {
            #expect(try world.apply(step) == nil)
        }
        #expect(world.vmm.vmm.hits == 0)
    }

    // MARK: What is told of which command

    private func told(
        of commands: [Command], identity: BareIdentity = .standard, prepare: (BareGuest) throws -> Void = { _ in }
    ) throws -> [BareSMMUNotice] {
        let guest = try BareGuest(identity)
        try guest.enable(streamTable: try guest.page(), configuration: 4)
        try prepare(guest)
        var told: [BareSMMUNotice] = []
        guest.tell = { told += $0 }
        try guest.issue(commands + [.SYNC()])
        return told
    }

    private func invalidation(
        _ scope: BareInvalidation.Scope, _ change: (inout BareInvalidation) -> Void = { _ in }
    ) -> BareSMMUNotice {
        var invalidation = BareInvalidation(scope)
        change(&invalidation)
        return .invalidate(invalidation)
    }

    @Test func eachCommandHasItsScope() throws {
        let cases: [(Command, BareSMMUNotice)] = [
            (.TLBI_NSNH_ALL(), invalidation(.all)), (.TLBI_EL2_ALL(), invalidation(.all)),
            (.TLBI_NH_ALL(vmid: 3), invalidation(.vmid) { $0.vmid = 3 }),
            (.TLBI_S12_VMALL(vmid: 3), invalidation(.vmid) { $0.vmid = 3 }),
            (.TLBI_NH_ASID(asid: 9, vmid: 3), invalidation(.asid) { ($0.asid, $0.vmid) = (9, 3) }),
            (.TLBI_EL2_ASID(asid: 9), invalidation(.asid) { $0.asid = 9 }),
            (
                .TLBI_NH_VA(address: 0x5000, asid: 9, vmid: 3),
                invalidation(.range) { ($0.asid, $0.vmid, $0.addresses, $0.leaf) = (9, 3, 0x5000...0x5fff, true) }
            ),
            (
                .TLBI_NH_VAA(address: 0x5000, leaf: false),
                invalidation(.range) { ($0.vmid, $0.addresses, $0.leaf) = (0, 0x5000...0x5fff, false) }
            ),
            (
                .TLBI_S2_IPA(
                    address: 0x20_0000, vmid: 4, range: InvalidationRange(TG: 1, SCALE: 4)),
                invalidation(.range) { ($0.vmid, $0.addresses, $0.leaf) = (4, 0x20_0000...0x20_ffff, true) }
            ),
            (
                .CFGI_STE(streamID: 5), invalidation(.config) { ($0.streamIDs, $0.leaf) = (5...5, true) }
            ),
            (.CFGI_ALL(), invalidation(.config) { $0.leaf = false }),
            (
                .CFGI_STE_RANGE(streamID: 9, range: 2),
                invalidation(.config) { ($0.streamIDs, $0.leaf) = (8...15, false) }
            ),
            (
                .CFGI_CD(streamID: 5, substreamID: 7),
                invalidation(.config) { ($0.streamIDs, $0.substreamID, $0.leaf) = (5...5, 7, true) }
            ),
            (.CFGI_CD(streamID: 5, substreamID: 0), invalidation(.config) { ($0.streamIDs, $0.leaf) = (5...5, true) }),
            (.CFGI_CD_ALL(streamID: 5), invalidation(.config) { ($0.streamIDs, $0.leaf) = (5...5, false) }),
            (
                .ATC_INV(streamID: 5, substreamID: 7, address: 0x12345000, size: 4),
                invalidation(.range) {
                    ($0.streamIDs, $0.substreamID, $0.ats, $0.addresses) = (5...5, 7, true, 0x12340000...0x1234ffff)
                }
            ),
            (
                .ATC_INV(streamID: 5, substreamID: nil, address: 0, size: 52),
                invalidation(.stream) { ($0.streamIDs, $0.ats) = (5...5, true) }
            ),
        ]
        for (command, expected) in cases { #expect(try told(of: [command]) == [expected], "\(command)") }
    }

    @Test func neighbouringRangesAreToldAsOne() throws {
        func at(_ page: UInt64, asid: UInt16 = 9) -> Command { .TLBI_NH_VA(address: page << 12, asid: asid) }
        let merged = try told(of: [at(5), at(6), at(4), at(5), at(8), at(9, asid: 10)])
        let ranges = merged.compactMap { notice -> ClosedRange<UInt64>? in
            if case .invalidate(let invalidation) = notice { return invalidation.addresses }
            return nil
        }
        #expect(ranges == [0x4000...0x6fff, 0x8000...0x8fff, 0x9000...0x9fff])
    }

    @Test func aChangeOfRegistersIsToldOnlyToWhoHasAskedSomething() throws {
        let guest = try BareGuest()
        var told: [BareSMMUNotice] = []
        guest.tell = { told += $0 }
        try guest.write(.GBPA, 1 << 31 | 1 << 20)
        try guest.enable(streamTable: try guest.page(), configuration: 4)
        #expect(told.isEmpty)
        try guest.write(.CR0, 0)
        try guest.write(.GBPA, 1 << 31)
        _ = try guest.translate(0, stream: 1)
        try guest.write(.CR0, 1)
        #expect(told == [invalidation(.all)])
        try guest.write(.CR0, 0)
        #expect(told.count == 1)
    }
}
