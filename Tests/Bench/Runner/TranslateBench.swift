import EmulatedIOMMU
import IOMMU
import SMMUv3

/// `SMMU.translate` on the product's own tables: hits, 4-level walks and nested walks.
struct TranslateBench {
    private let machine: Machine
    private let smmu: SMMU<MachineMemory>
    private let driver: SMMUDriver
    private let pages = ScatteredPages()
    private static let plainStream: UInt32 = 1
    private static let nestedStream: UInt32 = 2

    init() throws {
        machine = try Machine(tableSpace: TableSpace.standard)
        smmu = try SMMU(memory: machine.memory, identification: .laboratory)
        driver = try SMMUDriver(name: "smmu0", smmu: smmu, pages: machine)
    }

    func run(seconds: Double) throws {
        let domain = try attachPlain()
        try attachNested(over: domain)
        try hit("translate-hit-128p", stream: Self.plainStream, seconds: seconds)
        try miss("translate-miss-64Kp", stream: Self.plainStream, seconds: seconds)
        try hit("translate-nested-hit-128p", stream: Self.nestedStream, seconds: seconds)
        try miss("translate-nested-miss-64Kp", stream: Self.nestedStream, seconds: seconds)
    }

    private func attachPlain() throws -> PagingDomain {
        let domain = try driver.makePagingDomain(.stage1, dirtyTracking: false, pasid: false)
        for index in 0..<ScatteredPages.count {
            try domain.map(
                iova: pages.addresses[index], pa: pages.output(index), length: 4096, access: readWrite, hugePages: false
            )
        }
        let master = try makeMaster(Self.plainStream)
        driver.commit(try driver.prepare(master, pasid: nil, target: .paging(domain, faults: false)))
        return domain
    }

    /// The guest's stage 1 is the tree of `domain`; stage 2 maps table memory and outputs to themselves in 4 KiB pages.
    private func attachNested(over domain: PagingDomain) throws {
        let parent = try driver.makePagingDomain(.nestParent, dirtyTracking: false, pasid: false)
        let context = try machine.allocatePages(bytes: 4096)
        guard let words = smmu.lookupCD(streamID: Self.plainStream, substreamID: 0)?.words else { return }
        for (index, word) in words.enumerated() { _ = machine.memory.store64(context + UInt64(index) * 8, word) }
        for (start, bytes) in [(UInt64(1) << 32, UInt64(1) << 30), (ScatteredPages.firstOutput, UInt64(1) << 28)] {
            try parent.map(iova: start, pa: start, length: bytes, access: readWrite, hugePages: false)
        }
        let master = try makeMaster(Self.nestedStream)
        let viommu = try driver.makeViommu(parent: parent)
        try viommu.setVDevice(virtualID: 1, master: master)
        let vste: (UInt64, UInt64) = (1 | 5 << 1 | context, 0)
        let nested = try driver.makeNestedDomain(viommu, vste: vste)
        driver.commit(try driver.prepare(master, pasid: nil, target: .nested(nested, faults: false)))
    }

    private func makeMaster(_ stream: UInt32) throws -> Master {
        try driver.makeMaster(streamIDs: [stream], pasidBits: 0, stall: false, pri: false, ats: false)
    }

    private func hit(_ item: String, stream: UInt32, seconds: Double) throws {
        try visit(item, stream: stream, mask: 127, seconds: seconds)
    }

    private func miss(_ item: String, stream: UInt32, seconds: Double) throws {
        try visit(item, stream: stream, mask: ScatteredPages.count - 1, seconds: seconds)
    }

    private func visit(_ item: String, stream: UInt32, mask: Int, seconds: Double) throws {
        var position = 0
        var failures = 0
        var sum: UInt64 = 0
        let addresses = pages.order.map { pages.addresses[$0] + 16 }
        addresses.withUnsafeBufferPointer { addresses in
            measure(item, seconds: seconds) {
                let transaction = Transaction(streamID: stream, address: addresses[position & mask], access: .write)
                position &+= 1
                if case .ok(let output) = smmu.translate(transaction) { sum &+= output.address } else { failures += 1 }
            }
        }
        guard failures == 0, sum != 42 else { throw BenchError.wrong("\(item): \(failures) translations failed") }
    }
}
