import Glibc
import IOMMU
import KernelIOMMU
import KernelTestSupport
import TestSupport
import Testing

@testable import Durability
@testable import IOMMUService

/// The daemon ends between any two calls of the system, those of the kernel's IOMMU among them: afterwards the books
/// say what the kernel has, and that is what somebody was told, or what was under way.
@Suite struct KernelCampaignTests {
    @Test(arguments: [1, 2, 3, 4])
    func theBooksAreTheKernelsAfterAnyEnd(seed: UInt64) throws {
        let campaign = try Campaign(seed: seed)
        let rounds = getenv("IOMMUD_CAMPAIGN_ROUNDS").flatMap { Int(String(cString: $0)) } ?? 300
        for round in 0..<rounds / 4 { try campaign.play(round: round) }
        #expect(campaign.changes > 3 * rounds / 4 && campaign.deaths > rounds / 20, "\(campaign.changes) changes")
    }
}

private final class Campaign {
    private let kept: KernelKeeping
    private var random: SeededGenerator
    private let seed: UInt64
    private(set) var changes = 0
    private(set) var deaths = 0
    private static let names = ["a", "b"]
    /// What has been asked for in this round.
    private var asked: [String] = []

    private var keeping: KeepingBench { kept.keeping }

    init(seed: UInt64) throws {
        (self.seed, random) = (seed, SeededGenerator(seed: seed))
        kept = try KernelKeeping()
    }

    /// What may be there after an end: what was told, or what has been done since, as far as it goes.
    private var possible: [String] = []

    func play(round: Int) throws {
        let clients = try Self.names.map { try kept.connect($0) }
        keeping.endTurn()
        (possible, asked) = ([try kept.state], [])
        plan()
        for _ in 0..<random.next(below: 40) + 5 {
            try change(clients[random.next(below: clients.count)])
            possible.append(try kept.state)
            if random.next(below: 50) == 0 { keeping.keeper.beginCompaction() }
            guard random.next(below: 3) > 0 else { continue }
            guard keeping.endTurn() else { break }
            possible = [try kept.state]
        }
        try end(round)
    }

    /// Where the daemon ends: at one of the next calls of the system, or when it is through.
    private func plan() {
        switch random.next(below: 5) {
        case 0: break
        case 1: keeping.manager.messagesLeft = random.next(below: 8)
        case 2:
            var left = random.next(below: 24)
            let (kind, part, kernel) = (random.next(below: 3), random.next(), kept.kernel)
            keeping.medium.fate = {
                left -= 1
                guard left < 0 else { return .success }
                kernel.die()
                return kind == 0 ? .deathBefore : kind == 1 ? .deathAfter : .deathWithin(part)
            }
        default:
            // Called on this thread: the backend's work is done by the loop's own.
            nonisolated(unsafe) let keeping = keeping
            kept.kernel.die(after: random.next(below: 24), isMade: random.next(below: 2) == 0) {
                keeping.medium.die()
                keeping.manager.isDead = true
            }
        }
    }

    private func end(_ round: Int) throws {
        if keeping.medium.isDead || keeping.manager.isDead { deaths += 1 }
        try keeping.restart()
        let (after, books, contents) = (try kept.state, try kept.books, kept.kernel.contents)
        #expect(keeping.keeper.status == nil, "seed \(seed), round \(round)")
        // A daemon that is only played dead may have left an iommufd open, which a process could not.
        let unknown = contents.filter { !books.contains($0) }.count
        let isSame = books.allSatisfy { contents.contains($0) } && unknown <= contents.count - books.count
        #expect(isSame, "seed \(seed), round \(round): \(books), \(contents)")
        #expect(keeping.manager.store.count == keeping.keeper.files.total, "seed \(seed), round \(round)")
        guard !possible.contains(after) else { return }
        let differences = possible.suffix(3).compactMap { KeepingBench.difference($0, after) }
        Issue.record(
            """
            seed \(seed), round \(round) of \(possible.count) states, after \(asked.suffix(4).joined(separator: ", ")):
            \(differences.joined(separator: "\n\n"))
            """)
    }

    // MARK: Changes

    private func number(_ bound: Int) -> Int { 1 + random.next(below: bound) }

    private func change(_ client: PlayedClient) throws {
        let (method, params) = request
        asked.append("\(method) \(params)")
        client.send(method, params)
        var turns = 0
        while !client.hasLine, turns < 100 {
            try keeping.bench.handleReady()
            // What waits for a descriptor to be let go waits for the end of a turn.
            if turns % 8 == 7 { keeping.endTurn() }
            turns += 1
        }
        guard client.hasLine else { return }
        if try client.receive()["result"] != nil { changes += 1 }
    }

    private var request: (String, String) {
        switch random.next(below: 6) {
        case 0:
            random.next(below: 3) > 0
                ? ("memory.create", #"{"size":\#(number(16) * 4096)}"#) : ("memory.close", #"{"memory":\#(number(3))}"#)
        case 1, 2: mappingRequest
        case 3: deviceRequest
        case 4: tableRequest
        default: guestRequest
        }
    }

    private var mappingRequest: (String, String) {
        let (ioas, memory, page) = (number(4), number(2), number(16))
        let place = random.next(below: 3) == 0 ? "" : #","iova":\#(page * 4096)"#
        switch random.next(below: 8) {
        case 0: return ("ioas.alloc", "{}")
        case 1, 2: return ("ioas.map", #"{"ioas":\#(ioas),"memory":\#(memory),"length":\#(number(3) * 4096)\#(place)}"#)
        case 3:
            let many = (0..<number(5)).map { _ in #"{"memory":\#(memory),"length":4096}"# }.joined(separator: ",")
            return ("ioas.map_many", #"{"ioas":\#(ioas),"mappings":[\#(many)]}"#)
        case 4: return ("ioas.unmap", #"{"ioas":\#(ioas),"iova":\#(page * 4096),"length":\#(number(4) * 4096)}"#)
        case 5: return ("ioas.unmap", #"{"ioas":\#(ioas),"iova":0,"length":"0xffffffffffffffff"}"#)
        case 6:
            let copied = #""src_ioas":\#(ioas),"src_iova":\#(page * 4096),"length":4096,"dst_ioas":\#(number(4))"#
            return ("ioas.copy", #"{\#(copied),"access":["read"]}"#)
        default: return ("object.destroy", #"{"id":\#(number(9))}"#)
        }
    }

    private var deviceRequest: (String, String) {
        let (device, pt) = (number(8), number(8))
        let pasid = random.next(below: 3) == 0 ? #","pasid":\#(number(5))"# : ""
        switch random.next(below: 8) {
        case 0, 1, 2: return ("device.bind", #"{"name":"vfio\#(random.next(below: 4))"}"#)
        case 3, 4: return ("device.attach", #"{"device":\#(device),"pt":\#(pt)\#(pasid)}"#)
        case 5: return ("device.replace", #"{"device":\#(device),"pt":\#(pt)\#(pasid)}"#)
        case 6: return ("device.detach", #"{"device":\#(device)\#(pasid)}"#)
        default: return ("device.unbind", #"{"device":\#(device)}"#)
        }
    }

    private var tableRequest: (String, String) {
        let (device, pt) = (number(8), number(8))
        switch random.next(below: 7) {
        case 0: return ("hwpt.alloc", #"{"device":\#(device),"pt":\#(pt),"flags":["pasid","dirty_tracking"]}"#)
        case 1: return ("hwpt.alloc", #"{"device":\#(device),"pt":\#(pt),"flags":["nest_parent"]}"#)
        case 2: return ("hwpt.alloc", #"{"device":\#(device),"pt":\#(pt),"fault":\#(number(8))}"#)
        case 3: return ("fault.alloc", "{}")
        case 4: return ("hwpt.set_dirty_tracking", #"{"hwpt":\#(pt),"enable":\#(number(2) == 1)}"#)
        case 5: return ("ioas.set_option", #"{"ioas":\#(pt),"huge_pages":\#(number(2) == 1)}"#)
        default:
            return random.next(below: 3) == 0
                ? ("session.close", "{}") : ("object.destroy", #"{"id":\#(number(9))}"#)
        }
    }

    private var guestRequest: (String, String) {
        let (device, viommu) = (number(8), number(10))
        switch random.next(below: 5) {
        case 0, 1: return ("viommu.alloc", #"{"device":\#(device),"hwpt":\#(number(8)),"type":"arm_smmuv3"}"#)
        case 2: return ("vdevice.alloc", #"{"viommu":\#(viommu),"device":\#(device),"virt_id":\#(number(4))}"#)
        case 3: return ("veventq.alloc", #"{"viommu":\#(viommu),"type":"arm_smmuv3","depth":\#(number(9))}"#)
        default:
            let data = #"{"type":"arm_smmuv3","ste":["0x1","0x0"]}"#
            return ("hwpt.alloc", #"{"device":\#(device),"pt":\#(viommu),"data":\#(data)}"#)
        }
    }
}
