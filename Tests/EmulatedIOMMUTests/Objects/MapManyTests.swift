import IOMMU
import LinuxIO
import SMMUv3
import Testing

@testable import EmulatedIOMMU
@testable import IOMMUObjects

/// `ioas.map_many` with one element that cannot be: of the others nothing is left, wherever the bad one stands.
@Suite struct MapManyTests {
    private static let count = 200
    private let laboratory: ObjectLaboratory
    private let context: ObjectContext
    private let memory: ObjectID
    private let ioas: ObjectID
    private let device: ObjectID

    init() throws {
        laboratory = try ObjectLaboratory()
        context = laboratory.context
        memory = try laboratory.memory()
        ioas = try context.allocateIOAS()
        device = try laboratory.bind(ObjectLaboratory.pci)
        // A stage 1 that the device uses, a stage 2, and mappings that were there before.
        _ = try context.attach(device: device, to: ioas, pasid: nil)
        _ = try context.allocateHWPT(HWPTRequest(device: device, pt: ioas, flags: .nestParent))
        for place in [UInt64(0x3f_f000), 0x7000_0000, 0x1_0000_0000] {
            try laboratory.map(ioas, memory, at: place)
        }
    }

    /// Neighbours, other tables, other gigabytes, a block, and places that are left to choose.
    private var good: [MapRequest] {
        (0..<Self.count).map { index in
            let iova: UInt64? =
                switch index % 5 {
                case 0: 0x10_0000 + UInt64(index) << 12
                case 1: 0x40_0000 + UInt64(index) << 21
                case 2: 0x80_0000_0000 + UInt64(index) << 32
                case 3: nil
                default: 0x200_0000_0000 + UInt64(index) << 22
                }
            let length: UInt64 = index % 5 == 4 ? 2 << 20 : 4096 * UInt64(1 + index % 3)
            return MapRequest(memory: memory, offset: 0, length: length, iova: iova, access: [.read, .write])
        }
    }

    private var bad: [(errno: Errno, request: MapRequest)] {
        func request(
            memory: ObjectID? = nil, offset: UInt64 = 0, length: UInt64 = 4096, iova: UInt64? = 0x5000_0000
        ) -> MapRequest {
            MapRequest(memory: memory ?? self.memory, offset: offset, length: length, iova: iova, access: .read)
        }
        return [
            (.ENOENT, request(memory: 999)), (.EINVAL, request(length: 0)), (.EINVAL, request(offset: 1 << 40)),
            (.EINVAL, request(iova: 0x5000_0001)), (.EINVAL, request(iova: 1 << 60)),
            (.EEXIST, request(iova: 0x7000_0000)),
            (.EEXIST, request(length: 8192, iova: 0x3f_e000)), (.EINVAL, request(iova: 0x800_0000)),
            (.EOVERFLOW, request(length: 8192, iova: .max - 4095)),
        ]
    }

    /// Everything that a mapping leaves anywhere: areas, every leaf of every table, charges, users.
    private func state() throws -> State {
        let object = try context.table.object(ioas, .ioas, as: IOAS.self)
        return State(
            snapshot: laboratory.snapshot,
            mappings: try context.mappings(ioas: ioas, from: 0, limit: 10_000).mappings.map { "\($0)" },
            leaves: object.hwpts.map(\.smmuDomain.table.leaves),
            faults: object.hwpts.compactMap { $0.smmuDomain.table.audit() },
            mappingCount: context.mappingCount)
    }

    private struct State: Equatable {
        let snapshot: ObjectLaboratory.Snapshot
        let mappings: [String]
        let leaves: [[[UInt64]]]
        let faults: [String]
        let mappingCount: Int
    }

    @Test func aBadElementLeavesNothing() throws {
        let before = try state()
        #expect(before.leaves.count == 2 && before.faults.isEmpty)
        for (errno, request) in bad {
            for place in [0, 1, Self.count / 2, Self.count] {
                var requests = good
                requests.insert(request, at: place)
                do {
                    _ = try context.map(ioas: ioas, many: requests)
                    Issue.record("\(request) was mapped")
                } catch {
                    #expect(error.errno == errno, "\(request): \(error)")
                    #expect(error.members.contains(.init("index", .number(UInt64(place)))))
                }
                #expect(try state() == before, "\(request) at \(place)")
            }
        }
        // Nothing can be reached, and nothing stands in the way.
        for request in good {
            if let iova = request.iova { #expect(try laboratory.reach(ObjectLaboratory.pci, iova) == nil) }
        }
        #expect(try context.map(ioas: ioas, many: good).count == Self.count)
    }

    /// Elements of one batch that overlap each other.
    @Test func elementsMayNotOverlapEachOther() throws {
        let before = try state()
        for place in [1, 77, Self.count] {
            var requests = good
            requests.insert(requests[0], at: place)
            #expect(throws: IOMMUError.self) { try context.map(ioas: ioas, many: requests) }
            #expect(try state() == before)
        }
    }

    @Test func aQuotaThatIsReachedInTheMiddleLeavesNothing() throws {
        let before = try state()
        let used = laboratory.account.used(.mappings)
        for room in [0, 1, 100, Self.count - 1] {
            laboratory.account.setLimit(used + UInt64(room), of: .mappings)
            do {
                _ = try context.map(ioas: ioas, many: good)
                Issue.record("\(room) are enough")
            } catch {
                #expect(error.errno == .EDQUOT)
                #expect(error.members.contains(.init("index", .number(UInt64(room)))))
            }
            #expect(try state() == before)
        }
        laboratory.account.setLimit(used + UInt64(Self.count), of: .mappings)
        #expect(try context.map(ioas: ioas, many: good).count == Self.count)
    }
}
