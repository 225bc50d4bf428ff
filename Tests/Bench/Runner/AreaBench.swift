import EmulatedIOMMU
import IOMMU
import IOMMUObjects

/// One 4 KiB area at each of `count` random distinct pages of a 48-bit space, as the reference does it.
struct AreaBench {
    private let addresses: [UInt64]
    private let visits: [Int]
    private let removals: [Int]

    init(count: Int) {
        var generator = XorShift()
        addresses = (0..<count).map { (UInt64($0) * 16 + generator.next() % 16) << 12 }.shuffled(using: &generator)
        visits = (0..<count).shuffled(using: &generator)
        removals = (0..<count).shuffled(using: &generator)
    }

    func run() throws {
        let map = AreaMap()
        let insertion = try time {
            for (index, address) in addresses.enumerated() where map.insert(area(address, index)) != nil {
                throw BenchError.wrong("an area was there before it was inserted")
            }
        }
        var sum: UInt64 = 0
        let search = try time {
            for index in visits {
                guard let area = map.area(containing: addresses[index] + 128) else {
                    throw BenchError.wrong("an area got lost")
                }
                sum &+= area.offset
            }
        }
        let churn = try time {
            for (turn, index) in visits.enumerated() {
                guard map.remove(start: addresses[index]) != nil, map.insert(area(addresses[index], turn)) == nil else {
                    throw BenchError.wrong("an area was not where it had been inserted")
                }
            }
        }
        let removal = try time {
            for index in removals where map.remove(start: addresses[index]) == nil {
                throw BenchError.wrong("an area could not be removed")
            }
        }
        print(
            "{\"container\":\"AreaMap\",\"n\":\(addresses.count),\"insert_ns\":\(insertion),\"find_ns\":\(search),"
                + "\"churn_pair_ns\":\(churn),\"remove_ns\":\(removal),\"sum\":\(sum & 1)}"
        )
    }

    @inline(__always)
    private func area(_ address: UInt64, _ index: Int) -> Area {
        Area(start: address, last: address + 4095, offset: UInt64(index) << 12, memory: 1, access: readWrite)
    }

    /// Nanoseconds per area.
    private func time(_ work: () throws -> Void) rethrows -> Double {
        let begin = now()
        try work()
        return (now() - begin) * 1e9 / Double(addresses.count)
    }
}
