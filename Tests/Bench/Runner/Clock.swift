import CLinux
import Glibc
import IOMMU

/// Made once: a literal of an option set is built by generic code.
let readWrite: IOMMU.Access = [.read, .write]

/// Seconds of the monotonic clock.
func now() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
}

/// Seconds of CPU time of this process: for ratios of two pieces of work here, whatever else the machine does.
func processorTime() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
}

/// Runs `body` in batches of 1024 for at least `seconds` and prints what one run takes, as the references do.
@inline(__always)
func measure(_ item: String, seconds: Double, _ body: () -> Void) {
    var count = 0
    let begin = now()
    var end = begin
    repeat {
        for _ in 0..<1024 { body() }
        count += 1024
        end = now()
    } while end - begin < seconds
    report(item, nanoseconds: (end - begin) * 1e9 / Double(count))
}

func report(_ item: String, nanoseconds: Double) {
    print("{\"item\":\"\(item)\",\"ns\":\(nanoseconds)}")
}

func report(_ item: String, ratio: Double) {
    print("{\"item\":\"\(item)\",\"ratio\":\(ratio)}")
}

/// The generator that the references use, so that both sides see the same order.
struct XorShift: RandomNumberGenerator {
    private var state: UInt64 = 88_172_645_463_325_252

    mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state
    }
}

/// 64 Ki pages: clusters of 64 contiguous pages spread over 1 TiB, and an order to visit them in.
struct ScatteredPages {
    let addresses: [UInt64]
    let order: [Int]

    static let count = 65_536
    static let firstOutput: UInt64 = 0x4000_0000

    init() {
        addresses = (0..<Self.count).map { 0x100_0000_0000 + UInt64($0 / 64) * 0x3f7c_0000 + UInt64($0 % 64) * 4096 }
        var generator = XorShift()
        var shuffled = Array(0..<Self.count)
        for index in stride(from: Self.count - 1, to: 0, by: -1) {
            shuffled.swapAt(index, Int(generator.next() % UInt64(index + 1)))
        }
        order = shuffled
    }

    func output(_ index: Int) -> UInt64 { Self.firstOutput + UInt64(index) * 4096 }
}

/// A figure of work that came out wrong is worth nothing.
enum BenchError: Error {
    case wrong(String)
}
