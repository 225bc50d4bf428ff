import Glibc
import IOMMU
import LinuxIO
import TestSupport
import Testing

@testable import Durability
@testable import IOMMUService

/// The daemon ends at any place between two system calls, again and again: what it has told anybody is there
/// afterwards, and what it has not is there whole or not at all.
@Suite struct CampaignTests {
    @Test(arguments: [1, 2, 3, 4])
    func whatWasAcknowledgedIsThereAfterAnyEnd(seed: UInt64) throws {
        let campaign = try Campaign(seed: seed)
        let rounds = getenv("IOMMUD_CAMPAIGN_ROUNDS").flatMap { Int(String(cString: $0)) } ?? 300
        for round in 0..<rounds / 4 { try campaign.play(round: round) }
        #expect(campaign.changes > 5 * rounds / 4 && campaign.deaths > rounds / 20)
    }
}

/// Rounds of random changes in named sessions, with private ones beside them, each of which ends somewhere.
private final class Campaign {
    private let keeping: KeepingBench
    private var random: SeededGenerator
    private let seed: UInt64
    private(set) var changes = 0
    private(set) var deaths = 0
    private static let names = ["a", "b", "c"]
    private static let devices = [
        "0000:01:00.0", "0000:02:00.0", "0000:02:00.1", "0000:03:00.0", "0000:05:00.0", "uacce0", "0001:01:00.0",
    ]

    init(seed: UInt64) throws {
        (self.seed, random) = (seed, SeededGenerator(seed: seed))
        keeping = try KeepingBench(store: 96) { $0.limits.storedDescriptorsPerUID = 96 }
    }

    /// What may be there after an end: what was told, or what has been done since, as far as it goes.
    private var possible: [String] = []

    func play(round: Int) throws {
        possible = [try keeping.state]
        let clients = try Self.names.map { try keeping.connect($0) }
        let stranger = try keeping.connect()
        guard keeping.endTurn() else { return try end(round) }
        possible = [try keeping.state]
        plan()
        for _ in 0..<random.next(below: 60) + 5 {
            let isStranger = random.next(below: 8) == 0
            try change(isStranger ? stranger : clients[random.next(below: clients.count)])
            possible.append(try keeping.state)
            if random.next(below: 50) == 0 { keeping.keeper.beginCompaction() }
            // Several changes may be made in one turn.
            guard random.next(below: 3) > 0 else { continue }
            guard keeping.endTurn() else { break }
            possible = [try keeping.state]
        }
        try end(round)
    }

    /// Where the daemon ends: at one of the next calls of the system, or when it is through.
    private func plan() {
        guard random.next(below: 4) > 0 else { return }
        var left = random.next(below: 24)
        let (kind, part) = (random.next(below: 3), random.next())
        if random.next(below: 4) == 0 {
            keeping.manager.messagesLeft = random.next(below: 8)
            return
        }
        keeping.medium.fate = {
            left -= 1
            guard left < 0 else { return .success }
            return kind == 0 ? .deathBefore : kind == 1 ? .deathAfter : .deathWithin(part)
        }
    }

    private func end(_ round: Int) throws {
        if keeping.medium.isDead || keeping.manager.isDead { deaths += 1 }
        try keeping.restart()
        let after = try keeping.state
        guard !possible.contains(after) else { return }
        let differences = possible.suffix(3).compactMap { KeepingBench.difference($0, after) }
        Issue.record(
            "seed \(seed), round \(round) of \(possible.count) states:\n\(differences.joined(separator: "\n\n"))")
    }

    // MARK: Changes

    private func number(_ bound: Int) -> Int { 1 + random.next(below: bound) }

    private func change(_ client: PlayedClient) throws {
        let request = self.request
        client.send(request.method, request.params, descriptors: request.descriptor.map { [$0] } ?? [])
        var turns = 0
        while !client.hasLine, turns < 200 {
            try keeping.bench.handleReady()
            turns += 1
        }
        guard client.hasLine else { return }
        if try client.receive()["result"] != nil { changes += 1 }
    }

    private typealias Request = (method: String, params: String, descriptor: Int32?)

    private var request: Request {
        switch random.next(below: 8) {
        case 0: memoryRequest
        case 1, 2: mappingRequest
        case 3, 4: deviceRequest
        case 5: tableRequest
        case 6: guestRequest
        default: spaceRequest
        }
    }

    private var memoryRequest: Request {
        switch random.next(below: 3) {
        case 0: ("memory.create", #"{"size":\#(number(64) * 4096),"name":"m\#(number(9))"}"#, nil)
        case 1: ("memory.import", "{}", (try? keeping.memory())?.descriptor)
        default: ("memory.close", #"{"memory":\#(number(4))}"#, nil)
        }
    }

    private var mappingRequest: Request {
        let (ioas, memory, page) = (number(4), number(3), number(16))
        let place = random.next(below: 3) == 0 ? "" : #","iova":\#(page * 4096)"#
        let part =
            #""memory":\#(memory),"offset":\#(random.next(below: 3) * 4096),"length":\#(number(3) * 4096)\#(place)"#
        switch random.next(below: 9) {
        case 0: return ("ioas.alloc", "{}", nil)
        case 1, 2: return ("ioas.map", #"{"ioas":\#(ioas),\#(part)}"#, nil)
        case 3:
            let many = (0..<number(5)).map { _ in #"{"memory":\#(memory),"length":4096}"# }.joined(separator: ",")
            return ("ioas.map_many", #"{"ioas":\#(ioas),"mappings":[\#(many)]}"#, nil)
        case 4: return ("ioas.unmap", #"{"ioas":\#(ioas),"iova":\#(page * 4096),"length":\#(number(4) * 4096)}"#, nil)
        case 5: return ("ioas.unmap", #"{"ioas":\#(ioas),"iova":0,"length":"0xffffffffffffffff"}"#, nil)
        case 6:
            let copied = #""src_ioas":\#(ioas),"src_iova":\#(page * 4096),"length":4096,"dst_ioas":\#(number(4))"#
            return ("ioas.copy", #"{\#(copied),"access":["read"]}"#, nil)
        case 7:
            return (
                "ioas.allow_iovas", #"{"ioas":\#(ioas),"ranges":[{"start":0,"last":\#((page << 20) - 1)}]}"#, nil
            )
        default: return ("object.destroy", #"{"id":\#(number(9))}"#, nil)
        }
    }

    private var deviceRequest: Request {
        let (device, pt) = (number(8), number(8))
        let pasid = random.next(below: 3) == 0 ? #","pasid":\#(number(5))"# : ""
        switch random.next(below: 8) {
        case 0, 1, 2:
            return ("device.bind", #"{"name":"\#(Self.devices[random.next(below: Self.devices.count)])"}"#, nil)
        case 3, 4: return ("device.attach", #"{"device":\#(device),"pt":\#(pt)\#(pasid)}"#, nil)
        case 5: return ("device.replace", #"{"device":\#(device),"pt":\#(pt)\#(pasid)}"#, nil)
        case 6: return ("device.detach", #"{"device":\#(device)\#(pasid)}"#, nil)
        default: return ("device.unbind", #"{"device":\#(device)}"#, nil)
        }
    }

    private var tableRequest: Request {
        let (device, pt) = (number(8), number(8))
        switch random.next(below: 6) {
        case 0: return ("hwpt.alloc", #"{"device":\#(device),"pt":\#(pt),"flags":["pasid","dirty_tracking"]}"#, nil)
        case 1: return ("hwpt.alloc", #"{"device":\#(device),"pt":\#(pt),"flags":["nest_parent"]}"#, nil)
        case 2: return ("hwpt.alloc", #"{"device":\#(device),"pt":\#(pt),"fault":\#(number(8))}"#, nil)
        case 3: return ("fault.alloc", "{}", nil)
        case 4: return ("hwpt.set_dirty_tracking", #"{"hwpt":\#(pt),"enable":\#(number(2) == 1)}"#, nil)
        default: return ("session.close", "{}", nil)
        }
    }

    private var guestRequest: Request {
        let (device, viommu) = (number(8), number(10))
        switch random.next(below: 5) {
        case 0, 1:
            return ("viommu.alloc", #"{"device":\#(device),"hwpt":\#(number(8)),"type":"arm_smmuv3"}"#, nil)
        case 2:
            return ("vdevice.alloc", #"{"viommu":\#(viommu),"device":\#(device),"virt_id":\#(number(4))}"#, nil)
        case 3: return ("veventq.alloc", #"{"viommu":\#(viommu),"type":"arm_smmuv3","depth":\#(number(9))}"#, nil)
        default:
            let data = #"{"type":"arm_smmuv3","ste":["0x1","0x0"]}"#
            return ("hwpt.alloc", #"{"device":\#(device),"pt":\#(viommu),"data":\#(data)}"#, nil)
        }
    }

    private var spaceRequest: Request {
        let (mm, device) = (number(2), number(8))
        let range = #""va":\#(number(8) * 4096),"length":\#(number(2) * 4096)"#
        switch random.next(below: 12) {
        case 0, 1: return ("mm.create", "{}", nil)
        case 2, 3: return ("mm.map", #"{"mm":\#(mm),\#(range),"memory":\#(number(3))}"#, nil)
        case 4: return ("mm.unmap", #"{"mm":\#(mm),\#(range)}"#, nil)
        case 5: return (random.next(below: 3) == 0 ? "mm.exit" : "mm.close", #"{"mm":\#(mm)}"#, nil)
        case 6, 7: return ("sva.bind", #"{"device":\#(device),"mm":\#(mm)}"#, nil)
        case 8: return ("sva.unbind", #"{"bond":\#(number(3))}"#, nil)
        case 9: return ("queue.open", #"{"device":\#(device),"mm":\#(mm)}"#, nil)
        case 10: return ("queue.start", #"{"queue":\#(number(2))}"#, nil)
        default: return ("queue.close", #"{"queue":\#(number(2))}"#, nil)
        }
    }
}
