import IOMMU
import SMMUv3

@testable import EmulatedIOMMU

/// Devices, tables and guests behind one SMMU that forgets nothing by itself; beside it, at every access, an SMMU that
/// has just come out of reset and reads the same tables.
final class CachelessWorld {
    static let domainCount = 6
    static let deviceCount = 4
    /// Indices of the nest parents among the domains.
    static let parents = [4, 5]

    final class Device {
        var master: Master
        /// What the device keeps of translations, by PASID (0: without).
        var cache: [CachedTranslation] = []
        init(_ master: Master) { self.master = master }
    }

    struct CachedTranslation {
        let pasid: UInt32?
        let page: UInt64
        let output: UInt64
        let isWrite: Bool
    }

    /// A virtual machine over a nest parent.
    final class VirtualMachine {
        let viommu: DriverVIOMMU
        let guest: CachelessGuest
        /// Stage 1 of both tables without and with ATS in the STE, and bypass.
        let hwpts: [NestedDomain]

        init(_ viommu: DriverVIOMMU, _ guest: CachelessGuest, driver: SMMUDriver) throws {
            (self.viommu, self.guest) = (viommu, guest)
            let vstes = [
                guest.vste(0, ats: false), guest.vste(1, ats: false), guest.vste(0, ats: true),
                guest.vste(1, ats: true), (9, 0),
            ]
            hwpts = try vstes.map { try driver.makeNestedDomain(viommu, vste: $0) }
        }
    }

    let bench: DriverTestBench
    let identification: Identification
    var devices: [Device] = []
    var domains: [PagingDomain] = []
    var mappings: [[(iova: UInt64, length: UInt64)]] = Array(repeating: [], count: domainCount)
    /// Of each parent, by slot: tables that a life of its guest has.
    var guests: [[CachelessGuest]] = []
    var machines: [VirtualMachine] = []
    var lives = 0
    /// Accesses that got through, of all and of those to a nested stage 1: a run without would prove nothing.
    var (hits, nestedHits, cachedHits) = (0, 0, 0)

    init(_ identification: Identification) throws {
        self.identification = identification
        bench = try DriverTestBench(identification, geometry: .neverEvicting)
        bench.smmu.delegate = self
        for index in 0..<Self.domainCount { domains.append(try make(index)) }
        for index in 0..<Self.deviceCount { devices.append(Device(try plug(index))) }
        for (number, parent) in Self.parents.enumerated() {
            guests.append(try (0..<2).map { try CachelessGuest(bench, parent: domains[parent], slot: $0) })
            machines.append(try machine(number))
        }
    }

    private func make(_ index: Int) throws -> PagingDomain {
        let kind: PagingKind = index < 3 ? .stage1 : index == 3 ? .stage2 : .nestParent
        let domain = try bench.driver.makePagingDomain(kind, dirtyTracking: index == 2, pasid: index < 2)
        if index == 2 { try domain.setDirtyTracking(true) }
        return domain
    }

    private func plug(_ index: Int) throws -> Master {
        let master = try bench.master(
            UInt32(0x100 + index * 0x81), pasidBits: index == 0 ? 10 : index == 2 ? 16 : 0, stall: index == 3,
            ats: index == 0 || index == 1)
        for (number, machine) in machines.enumerated() { try register(master, index, machine, number) }
        return master
    }

    private func register(_ master: Master, _ index: Int, _ machine: VirtualMachine, _ number: Int) throws {
        try machine.viommu.setVDevice(virtualID: UInt32(0x40 + index), master: master)
    }

    private func machine(_ number: Int) throws -> VirtualMachine {
        let viommu = try bench.driver.makeViommu(parent: domains[Self.parents[number]])
        let machine = try VirtualMachine(viommu, guests[number][lives % 2], driver: bench.driver)
        lives += 1
        for (index, device) in devices.enumerated() { try register(device.master, index, machine, number) }
        return machine
    }

    // MARK: Steps

    /// - Returns: what is wrong, or nil.
    func apply(_ step: CachelessStep) throws -> String? {
        switch step {
        case .map(let domain, let place, let size, let frame): map(domain, place, size, frame)
        case .unmap(let domain, let index):
            guard !mappings[domain].isEmpty else { return nil }
            let mapping = mappings[domain].remove(at: index % mappings[domain].count)
            domains[domain].unmap(iova: mapping.iova, length: mapping.length)
            domains[domain].flush()
        case .guestMap(let parent, let table, let place, let target):
            let page = target.map { ModelWorld.address($0) & ~0xfff }
            try invalidate(machines[parent].guest.set(ModelWorld.address(place), table: table, to: page), parent)
        case .attach(let device, let pasid, let domain):
            attach(device, pasid, domain.map { .paging(domains[$0], faults: false) } ?? .blocked)
        case .attachNested(let device, let parent, let hwpt):
            attach(device, 0, .nested(machines[parent].hwpts[hwpt], faults: false))
        case .rebirth(let parent, let toParent): try rebirth(parent, toParent)
        case .replug(let device):
            let master = devices[device].master
            bench.driver.removeMaster(master)
            for machine in machines { machine.viommu.removeVDevice(virtualID: UInt32(0x40 + device)) }
            devices[device] = Device(try plug(device))
        case .recycle(let domain): try recycle(domain)
        case .readDirty(let domain):
            guard domains[domain].hasDirtyTracking, let mapping = mappings[domain].first else { return nil }
            var bitmap = [UInt8](repeating: 0, count: Int(mapping.length >> 15 + 1))
            _ = try domains[domain].readDirty(
                iova: mapping.iova, length: mapping.length, pageSize: 4096, clear: true, into: &bitmap)
        case .dma(let device, let pasid, let place, let page, let write):
            let address = ModelWorld.address(place) + UInt64(page) << 12 + 0x123
            return access(devices[device], pasid == 0 ? nil : UInt32(pasid * 300), address, write)
        }
        return nil
    }

    private func map(_ domain: Int, _ place: Int, _ size: Int, _ frame: Int) {
        let (iova, length) = (ModelWorld.address(place), ModelWorld.sizes[size])
        let frames = UInt64(frame) << 12
        let pa = 0x100_0000_0000 + (frame % 3 == 0 ? frames & ~0x1f_ffff + iova & 0x1f_ffff : frames)
        let access: IOMMU.Access = frame % 5 == 0 ? .read : [.read, .write]
        guard (try? domains[domain].map(iova: iova, pa: pa, length: length, access: access, hugePages: true)) != nil
        else { return }
        mappings[domain].append((iova, length))
    }

    private func attach(_ device: Int, _ pasid: Int, _ target: AttachTarget) {
        try? bench.attach(devices[device].master, pasid: pasid == 0 ? nil : UInt32(pasid * 300), target)
    }

    /// What a guest issues after a change of its tables, for all of its devices.
    private func invalidate(_ commands: [Command], _ parent: Int) throws {
        let virtualIDs = devices.indices.filter { devices[$0].master.isATSEnabled }.map { UInt32(0x40 + $0) }
        let forgetting = virtualIDs.map { Command.ATC_INV(streamID: $0, substreamID: nil, address: 0, size: 52) }
        _ = try machines[parent].viommu.invalidate(entries: commands.map { ($0.word0, $0.word1) })
        _ = try machines[parent].viommu.invalidate(entries: forgetting.map { ($0.word0, $0.word1) })
    }

    private func rebirth(_ number: Int, _ toParent: Bool) throws {
        let parent = domains[Self.parents[number]]
        for device in devices where device.master.attachment.nestedDomain?.viommu === machines[number].viommu {
            try bench.attach(device.master, toParent ? .paging(parent, faults: false) : .blocked)
        }
        machines[number] = try machine(number)
    }

    private func recycle(_ index: Int) throws {
        guard domains[index].userCount == 0, index < 4 else { return }
        bench.driver.destroy(domains[index])
        domains[index] = try make(index)
        mappings[index] = []
    }
}
