import IOMMU
import SMMUv3
import Testing

@testable import EmulatedIOMMU

/// Runs probe transactions, with caches as they are and with cold ones, after every store to an entry and after every
/// command.
final class HitlessObserver: EntryMedium {
    struct Probe {
        let name: String
        let transaction: Transaction
        /// Judges what came of it.
        let allowed: (Translation) -> Bool
    }

    let bench: DriverTestBench
    private let inner: any EntryMedium
    var probes: [Probe] = []
    private(set) var count = 0
    private(set) var violations: [String] = []
    private var isProbing = false

    /// - Parameter bench: over ``SMMUv3/Identification/oneCommand``, so that each command is published by itself.
    init(_ bench: DriverTestBench) {
        #expect(bench.driver.queue.slots == 1)
        self.bench = bench
        inner = bench.driver.medium
        bench.driver.medium = self
        bench.driver.queue.observer = { [unowned self] in probe("command") }
    }

    deinit { bench.driver.queue.observer = nil }

    func store(_ value: UInt64, at address: UInt64) {
        inner.store(value, at: address)
        probe("store")
    }

    func synchronize(_ scope: EntryScope) {
        inner.synchronize(scope)
        probe("sync")
    }

    func probe(_ moment: String) {
        guard !isProbing else { return }
        isProbing = true
        defer { isProbing = false }
        for probe in probes {
            count += 1
            for (kind, result) in [
                ("warm", bench.smmu.translate(probe.transaction)), ("cold", cold(probe.transaction)),
            ]
            where !probe.allowed(result) {
                violations.append("\(probe.name) after \(moment) \(count), \(kind): \(result)")
            }
        }
        bench.driver.service()
    }

    /// What an SMMU that has cached nothing makes of the same memory.
    func cold(_ transaction: Transaction) -> Translation {
        guard
            let smmu = try? SMMU(
                memory: bench.machine.memory, identification: bench.smmu.identification,
                geometry: CacheGeometry(tlbEntries: 16, configurationEntries: 4)
            )
        else { return .terminated(.smmuDisabled) }
        for register in [Register.CR1, .CR2, .STRTAB_BASE, .STRTAB_BASE_CFG] {
            let value = (try? bench.smmu.readRegister(register.rawValue, width: register.width)) ?? 0
            try? smmu.writeRegister(register.rawValue, width: register.width, value: value)
        }
        try? smmu.writeRegister(Register.CR0.rawValue, width: 4, value: UInt64(CR0.SMMUEN))
        return smmu.translate(transaction)
    }
}

@Suite struct DriverHitlessTests {
    static let address: UInt64 = 0x1234_5000

    /// Something to attach, and where the probe address then leads.
    struct Place {
        let name: String
        let target: AttachTarget
        let output: UInt64?
    }

    static func isBlocked(_ result: Translation) -> Bool {
        switch result {
        case .terminated(.steAbort): true
        case .fault(let event, _): event.type == .F_STREAM_DISABLED
        default: false
        }
    }

    static func leads(_ result: Translation, to place: Place) -> Bool {
        guard let output = place.output else { return isBlocked(result) }
        if case .ok(let found) = result { return found.address == output }
        return false
    }

    static func paging(_ bench: DriverTestBench, _ name: String, _ kind: PagingKind, _ pa: UInt64) throws -> Place {
        let domain = try bench.driver.makePagingDomain(kind, dirtyTracking: false, pasid: kind == .stage1)
        try domain.map(iova: address & ~0xfff, pa: pa, length: 0x1000, access: [.read, .write], hugePages: true)
        return Place(name: name, target: .paging(domain, faults: false), output: pa)
    }

    static func places(_ bench: DriverTestBench, nestedFor master: Master) throws -> [Place] {
        var places = [
            Place(name: "blocked", target: .blocked, output: nil),
            try paging(bench, "stage 1 A", .stage1, 0x100_0000_0000),
            try paging(bench, "stage 1 B", .stage1, 0x200_0000_0000),
            try paging(bench, "stage 2 A", .stage2, 0x300_0000_0000),
            try paging(bench, "stage 2 B", .stage2, 0x400_0000_0000),
            try paging(bench, "parent", .nestParent, 0x500_0000_0000),
        ]
        guard case .paging(let parent, _) = places[5].target else { return places }
        let guest = try GuestTables(bench, parent: parent)
        let viommu = try bench.driver.makeViommu(parent: parent)
        try viommu.setVDevice(virtualID: 7, master: master)
        try guest.map(address & ~0xfff, ipa: address & ~0xfff)
        let bypass = try bench.driver.makeNestedDomain(viommu, vste: (1 | 4 << 1, 0))
        places.append(Place(name: "nested bypass", target: .nested(bypass, faults: false), output: 0x500_0000_0000))
        let nested = try bench.driver.makeNestedDomain(viommu, vste: guest.vste)
        places.append(Place(name: "nested stage 1", target: .nested(nested, faults: false), output: 0x500_0000_0000))
        return places
    }

    /// Tables whose write-back is forced and others are not read alike: a stage 2 that is no nest parent, which only an
    /// SMMU without stage 1 has, and one that is.
    private static func differInAttributes(_ from: Place, _ to: Place) -> Bool {
        let names = [from.name, to.name]
        return names.contains { $0.hasPrefix("stage 2") }
            && names.contains { ["parent", "nested bypass"].contains($0) }
    }

    /// From every place to every other one: nothing but old and new is ever seen, and there is no gap where both
    /// translate and neither is a guest's.
    @Test(arguments: [0, 10], [false, true]) func everyPairOfAttachments(_ pasidBits: Int, hasFWB: Bool) throws {
        var identification = Identification.oneCommand
        if !hasFWB { identification.IDR3 &= ~(1 << 8) }
        let bench = try DriverTestBench(identification)
        let master = try bench.master(pasidBits: pasidBits)
        let neighbour = try bench.master(0x200)
        let places = try Self.places(bench, nestedFor: master)
        let apart = try Self.paging(bench, "neighbour", .stage2, 0x600_0000_0000)
        try bench.attach(neighbour, apart.target)
        let observer = HitlessObserver(bench)
        let probe = Transaction(streamID: 0x100, address: Self.address, access: .read)
        let other = Transaction(streamID: 0x200, address: Self.address, access: .read)
        for from in places {
            for to in places {
                observer.probes = []
                try bench.attach(master, from.target)
                // A guest's tables and another stage 2 cannot be exchanged in one word: silently blocked in between.
                let gap =
                    (from.name == "nested stage 1" && to.name.hasPrefix("stage 2"))
                    || (to.name == "nested stage 1" && from.name.hasPrefix("stage 2"))
                    || (hasFWB && Self.differInAttributes(from, to))
                observer.probes = [
                    .init(name: "\(from.name) -> \(to.name)", transaction: probe) {
                        Self.leads($0, to: from) || Self.leads($0, to: to) || (gap && Self.isBlocked($0))
                    },
                    .init(name: "neighbour", transaction: other) { Self.leads($0, to: apart) },
                ]
                try bench.attach(master, to.target)
                observer.probes = [.init(name: "\(to.name) at last", transaction: probe) { Self.leads($0, to: to) }]
                observer.probe("commit")
                #expect(observer.violations.isEmpty, "\(observer.violations.prefix(3))")
            }
        }
        #expect(observer.count > 500)
        #expect(bench.driver.queue.errors == 0)
    }

    /// Attachments of PASIDs change beside each other and the device's own.
    @Test(arguments: [10, 16]) func pasidsBesideTheDevice(_ pasidBits: Int) throws {
        let bench = try DriverTestBench(.oneCommand)
        let master = try bench.master(pasidBits: pasidBits)
        let own = [
            Place(name: "blocked", target: .blocked, output: nil),
            try Self.paging(bench, "own A", .stage1, 0x100_0000_0000),
            try Self.paging(bench, "own B", .stage1, 0x200_0000_0000),
        ]
        let beside = [
            try Self.paging(bench, "beside A", .stage1, 0x300_0000_0000),
            try Self.paging(bench, "beside B", .stage1, 0x400_0000_0000),
        ]
        let observer = HitlessObserver(bench)
        let probe = Transaction(streamID: 0x100, address: Self.address, access: .read)
        func pasid(_ number: UInt32) -> Transaction {
            Transaction(streamID: 0x100, substreamID: number, address: Self.address, access: .read)
        }
        let far: UInt32 = pasidBits == 16 ? 5000 : 1000
        try bench.attach(master, pasid: 1, beside[0].target)
        try bench.attach(master, pasid: far, beside[1].target)
        let still: [HitlessObserver.Probe] = [
            .init(name: "pasid 1", transaction: pasid(1)) { Self.leads($0, to: beside[0]) },
            .init(name: "far pasid", transaction: pasid(far)) { Self.leads($0, to: beside[1]) },
        ]
        for from in own {
            for to in own {
                observer.probes = still
                try bench.attach(master, from.target)
                observer.probes =
                    still + [
                        .init(name: "\(from.name) -> \(to.name)", transaction: probe) {
                            Self.leads($0, to: from) || Self.leads($0, to: to)
                        }
                    ]
                try bench.attach(master, to.target)
                // The PASIDs move, and back.
                for (number, index) in [(UInt32(1), 0), (far, 1)] {
                    for step in [beside[1 - index], beside[index]] {
                        observer.probes = [
                            .init(name: "device", transaction: probe) { Self.leads($0, to: to) },
                            .init(name: "moving pasid", transaction: pasid(number)) {
                                Self.leads($0, to: beside[0]) || Self.leads($0, to: beside[1])
                            },
                            .init(name: "other pasid", transaction: pasid(number == 1 ? far : 1)) {
                                Self.leads($0, to: beside[1 - index])
                            },
                        ]
                        try bench.attach(master, pasid: number, step.target)
                        observer.probes = [
                            .init(name: "moved", transaction: pasid(number)) { Self.leads($0, to: step) }
                        ]
                        observer.probe("commit")
                    }
                }
                #expect(observer.violations.isEmpty, "\(observer.violations.prefix(3))")
            }
        }
        #expect(observer.count > 300)
    }

    /// Memory that runs out at any allocation leaves everything as it was.
    @Test(arguments: [0, 10, 16]) func failedAttachChangesNothing(_ pasidBits: Int) throws {
        let bench = try DriverTestBench(.oneCommand)
        let master = try bench.master(pasidBits: pasidBits)
        let (a, b) = (
            try Self.paging(bench, "A", .stage1, 0x100_0000_0000), try Self.paging(bench, "B", .stage1, 0x200_0000_0000)
        )
        let observer = HitlessObserver(bench)
        let probe = Transaction(streamID: 0x100, address: Self.address, access: .read)
        var from = Place(name: "blocked", target: .blocked, output: nil)
        for to in [a, b] {
            observer.probes = [.init(name: "\(from.name)", transaction: probe) { [from] in Self.leads($0, to: from) }]
            let bytes = bench.pages.bytesInUse
            let (ste, users) = (bench.driver.streams.entry(0x100), [a, b].map { $0.target.pagingDomain?.userCount })
            var failures = 0
            for step in 0..<10 {
                bench.pages.failsAfter = step
                defer { bench.pages.failsAfter = nil }
                guard let prepared = try? bench.driver.prepare(master, pasid: nil, target: to.target) else {
                    failures += 1
                    observer.probe("failure")
                    #expect(bench.pages.bytesInUse == bytes)
                    #expect(bench.driver.streams.entry(0x100) == ste)
                    #expect([a, b].map { $0.target.pagingDomain?.userCount } == users)
                    continue
                }
                bench.driver.abandon(prepared)
                #expect(bench.pages.bytesInUse == bytes)
                break
            }
            #expect(failures > 0)
            observer.probes = []
            try bench.attach(master, to.target)
            from = to
        }
        #expect(observer.violations.isEmpty, "\(observer.violations.prefix(3))")
    }
}
