import IOMMU
import SMMUv3
import TestSupport
import Testing

@testable import EmulatedIOMMU
@testable import IOMMUObjects

/// What the machine should look like: dictionaries, nothing else.
private struct PlainMachine {
    /// Page number to (offset in the memory object, writable), per IOAS.
    var pages: [ObjectID: [UInt64: (offset: UInt64, isWritable: Bool)]] = [:]
    /// Start page to pages, per IOAS.
    var mappings: [ObjectID: [UInt64: UInt64]] = [:]
    /// IOAS by group of devices.
    var attachments: [Int: ObjectID] = [:]
}

/// Random use of the object model against plain dictionaries, on SMMUs that never evict: whatever is not invalidated
/// shows as a stale translation.
@Suite struct ObjectModelTests {
    private enum Step {
        case map(ioas: Int, page: UInt64, count: UInt64, offset: UInt64, isWritable: Bool)
        case unmap(ioas: Int, page: UInt64, count: UInt64)
        case attach(group: Int, ioas: Int)
        case replace(group: Int, ioas: Int)
        case detach(group: Int)
        case access(device: Int, page: UInt64, isWrite: Bool)
    }

    /// Devices by group: moved together, by the first one.
    private static let groups: [[String]] = [
        [ObjectLaboratory.pci], [ObjectLaboratory.pairFirst, ObjectLaboratory.pairSecond], [ObjectLaboratory.wide],
        [ObjectLaboratory.other],
    ]
    private static let names = groups.flatMap { $0 }
    private static let ioasCount = 3
    /// Few enough that steps meet each other.
    private static let pageCount: UInt64 = 48

    private static func step(_ random: inout SeededGenerator) -> Step {
        let ioas = Int(random.next(below: UInt64(ioasCount)))
        let page = random.next(below: pageCount)
        let group = Int(random.next(below: UInt64(groups.count)))
        switch random.next(below: 20) {
        case 0, 1, 2:
            return .map(
                ioas: ioas, page: page, count: 1 + random.next(below: 4), offset: random.next(below: 64) << 12,
                isWritable: random.next(below: 3) > 0)
        case 3, 4: return .unmap(ioas: ioas, page: page, count: 1 + random.next(below: 8))
        case 5: return .attach(group: group, ioas: ioas)
        case 6: return .replace(group: group, ioas: ioas)
        case 7 where random.next(below: 3) == 0: return .detach(group: group)
        default:
            return .access(
                device: Int(random.next(below: UInt64(names.count))), page: page, isWrite: random.next(below: 2) == 0)
        }
    }

    /// - Returns: the index of the first step whose outcome differs from the model's, and what differed.
    private static func firstDifference(_ steps: [Step]) throws -> (index: Int, text: String)? {
        let laboratory = try ObjectLaboratory()
        let context = laboratory.context
        let ioases = try (0..<ioasCount).map { _ in try context.allocateIOAS() }
        let memory = try laboratory.memory(1 << 20)
        let base = try context.base(ofMemory: memory)
        let devices = try groups.map { try $0.map { try laboratory.bind($0) } }
        var model = PlainMachine()
        for (index, step) in steps.enumerated() {
            let (expected, found): (String, String)
            switch step {
            case .map(let ioas, let page, let count, let offset, let isWritable):
                expected = model.map(ioases[ioas], page, count, offset, isWritable)
                found = outcome {
                    try laboratory.map(
                        ioases[ioas], memory, at: page << 12, length: count << 12, offset: offset,
                        access: isWritable ? [.read, .write] : .read)
                }
            case .unmap(let ioas, let page, let count):
                expected = model.unmap(ioases[ioas], page, count)
                found = outcome { try context.unmap(ioas: ioases[ioas], iova: page << 12, length: count << 12) }
            case .attach(let group, let ioas):
                expected = model.attach(group, ioases[ioas])
                found = outcome { try context.attach(device: devices[group][0], to: ioases[ioas], pasid: nil) }
            case .replace(let group, let ioas):
                expected = model.replace(group, ioases[ioas])
                found = outcome { try context.replace(device: devices[group][0], with: ioases[ioas], pasid: nil) }
            case .detach(let group):
                model.attachments[group] = nil
                expected = "ok"
                found = outcome { try context.detach(device: devices[group][0], pasid: nil) }
            case .access(let device, let page, let isWrite):
                let group = groups.firstIndex { $0.contains(names[device]) } ?? 0
                expected = model.access(group, page, isWrite).map { "\(base + $0)" } ?? "nowhere"
                let address = try laboratory.reach(names[device], page << 12, isWrite ? .write : .read)
                found = address.map { "\($0)" } ?? "nowhere"
            }
            guard expected == found else { return (index, "\(step): expected \(expected), found \(found)") }
        }
        return nil
    }

    private static func outcome<Value>(_ body: () throws -> Value) -> String {
        do {
            _ = try body()
            return "ok"
        } catch {
            return (error as? IOMMUError)?.errno.name ?? "\(error)"
        }
    }

    @Test(arguments: [11, 12, 13, 14] as [UInt64])
    func agreesWithDictionaries(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let steps = (0..<60_000).map { _ in Self.step(&random) }
        let complaint = try RandomRun { try Self.firstDifference($0) }.complaint(about: steps)
        #expect(complaint == nil, "seed \(seed) \(complaint ?? "")")
    }
}

extension PlainMachine {
    mutating func map(_ ioas: ObjectID, _ page: UInt64, _ count: UInt64, _ offset: UInt64, _ isWritable: Bool) -> String
    {
        guard (page..<page + count).allSatisfy({ pages[ioas]?[$0] == nil }) else { return "EEXIST" }
        for index in 0..<count { pages[ioas, default: [:]][page + index] = (offset + (index << 12), isWritable) }
        mappings[ioas, default: [:]][page] = count
        return "ok"
    }

    mutating func unmap(_ ioas: ObjectID, _ page: UInt64, _ count: UInt64) -> String {
        let end = page + count
        let met = (mappings[ioas] ?? [:]).filter { $0.key < end && $0.key + $0.value > page }
        guard !met.isEmpty, met.allSatisfy({ $0.key >= page && $0.key + $0.value <= end }) else { return "ENOENT" }
        for (start, length) in met {
            mappings[ioas]?[start] = nil
            for index in 0..<length { pages[ioas]?[start + index] = nil }
        }
        return "ok"
    }

    mutating func attach(_ group: Int, _ ioas: ObjectID) -> String {
        guard attachments[group] == nil else { return "EBUSY" }
        attachments[group] = ioas
        return "ok"
    }

    mutating func replace(_ group: Int, _ ioas: ObjectID) -> String {
        guard attachments[group] != nil else { return "EINVAL" }
        attachments[group] = ioas
        return "ok"
    }

    func access(_ group: Int, _ page: UInt64, _ isWrite: Bool) -> UInt64? {
        guard let ioas = attachments[group], let entry = pages[ioas]?[page], entry.isWritable || !isWrite else {
            return nil
        }
        return entry.offset
    }
}
