import IOMMU
import SMMUv3
import Testing

@testable import EmulatedIOMMU
@testable import IOMMUObjects

/// Probes a whole group after every store to an STE or CD and after every invalidation of one.
private final class ProbingMedium: EntryMedium {
    private let medium: any EntryMedium
    private let probe: () -> Void
    private(set) var probes = 0

    init(_ medium: any EntryMedium, probe: @escaping () -> Void) {
        self.medium = medium
        self.probe = probe
    }

    func store(_ value: UInt64, at address: UInt64) {
        medium.store(value, at: address)
        observe()
    }

    func synchronize(_ scope: EntryScope) {
        medium.synchronize(scope)
        observe()
    }

    private func observe() {
        probes += 1
        probe()
    }
}

@Suite struct GroupReplaceTests {
    private static let names = [ObjectLaboratory.pairFirst, ObjectLaboratory.pairSecond]

    /// What the probes of one operation saw of each device, in order and without repetitions.
    private func watch(
        _ laboratory: ObjectLaboratory, names: [String], iova: UInt64, _ body: () throws -> Void
    ) throws -> [[UInt64?]] {
        let driver = try laboratory.backend.smmu(named: "smmu0").driver
        let original = driver.medium
        defer { driver.medium = original }
        var seen = names.map { _ in [UInt64?]() }
        let medium = ProbingMedium(original) {
            for (index, name) in names.enumerated() {
                let address = try? laboratory.reach(name, iova)
                if seen[index].last != .some(address) { seen[index].append(address) }
            }
        }
        driver.medium = medium
        try body()
        #expect(medium.probes > 0)
        return seen
    }

    @Test(arguments: [CacheGeometry.neverEvicting, CacheGeometry(tlbEntries: 16, configurationEntries: 4)])
    func noAccessOfTheGroupFailsWhileItMoves(caches: CacheGeometry) throws {
        let laboratory = try ObjectLaboratory(caches: caches)
        let context = laboratory.context
        let memory = try laboratory.memory()
        let base = try context.base(ofMemory: memory)
        let ioases = try [context.allocateIOAS(), context.allocateIOAS()]
        for (index, ioas) in ioases.enumerated() {
            try laboratory.map(ioas, memory, at: 0x1000, offset: UInt64(index) << 16)
        }
        let devices = try Self.names.map { try laboratory.bind($0) }
        for device in devices { _ = try context.attach(device: device, to: ioases[0], pasid: nil) }
        let (old, new) = (base, base + 0x10000)
        for (target, addresses) in [(ioases[1], [old, new]), (ioases[0], [new, old])] {
            let seen = try watch(laboratory, names: Self.names, iova: 0x1000) {
                _ = try context.replace(device: devices[1], with: target, pasid: nil)
            }
            // Old or new and nothing else; once new, never old again.
            for device in seen { #expect(device.allSatisfy { addresses.contains($0 ?? 0) } && device.count <= 2) }
            for name in Self.names { #expect(try laboratory.reach(name, 0x1000) == addresses[1]) }
        }
    }

    @Test func stage1AndStage2ReplaceEachOther() throws {
        let laboratory = try ObjectLaboratory()
        let context = laboratory.context
        let memory = try laboratory.memory()
        let base = try context.base(ofMemory: memory)
        let ioas = try context.allocateIOAS()
        try laboratory.map(ioas, memory, at: 0x1000)
        let devices = try Self.names.map { try laboratory.bind($0) }
        let parent = try context.allocateHWPT(HWPTRequest(device: devices[0], pt: ioas, flags: .nestParent))
        let plain = try context.allocateHWPT(HWPTRequest(device: devices[0], pt: ioas))
        for device in devices { _ = try context.attach(device: device, to: plain, pasid: nil) }
        for target in [parent, plain, parent] {
            let seen = try watch(laboratory, names: Self.names, iova: 0x1000) {
                _ = try context.replace(device: devices[0], with: target, pasid: nil)
            }
            // Both translate alike: whatever the entry looks like meanwhile, the access gets there.
            for device in seen { #expect(device == [base]) }
        }
    }

    @Test func detachBlocksAtOnce() throws {
        let laboratory = try ObjectLaboratory()
        let context = laboratory.context
        let memory = try laboratory.memory()
        let base = try context.base(ofMemory: memory)
        let ioas = try context.allocateIOAS()
        try laboratory.map(ioas, memory, at: 0x1000)
        let device = try laboratory.bind(Self.names[0])
        let attaching = try watch(laboratory, names: Self.names, iova: 0x1000) {
            _ = try context.attach(device: device, to: ioas, pasid: nil)
        }
        let detaching = try watch(laboratory, names: Self.names, iova: 0x1000) {
            try context.detach(device: device, pasid: nil)
        }
        for seen in attaching { #expect(seen.allSatisfy { $0 == nil || $0 == base } && seen.last == .some(base)) }
        for seen in detaching { #expect(seen.allSatisfy { $0 == nil || $0 == base } && seen.last == .some(nil)) }
    }
}
