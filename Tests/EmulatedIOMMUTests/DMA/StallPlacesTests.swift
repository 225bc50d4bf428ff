import IOMMU
import Testing

@testable import EmulatedIOMMU

/// Who gets the places for stalls of an SMMU.
@Suite struct StallPlacesTests {
    private final class Session {}

    /// Kept: what identifies one may not be another's.
    private let sessions = (0..<64).map { _ in Session() }

    private func access(_ session: Int, uid: UInt32 = 1000, fraction: Double = 1) -> DeviceAccess {
        DeviceAccess(
            id: 1,
            owner: StallOwner(
                session: ObjectIdentifier(sessions[session]), uid: uid, fraction: fraction),
            streamID: 1, pasid: nil, operation: .read(0, length: 4), usesPageRequests: false
        ) { Reason($0) }
    }

    /// Takes what it gets. - Returns: how many places that were.
    private func fill(_ places: inout StallPlaces, _ access: DeviceAccess) -> Int {
        var count = 0
        while places.admits(access) {
            places.take(access.owner)
            count += 1
        }
        return count
    }

    @Test func aUserGetsNoMoreThanAShare() {
        var places = StallPlaces(capacity: 256)
        let mine = (0..<40).map { fill(&places, access($0, fraction: 0.25)) }
        #expect(mine.reduce(0, +) == 64)
        #expect(places.isShareUsed(by: access(50, fraction: 0.25).owner))
        #expect(!places.isShareUsed(by: access(50, uid: 7, fraction: 0.25).owner))
        #expect(fill(&places, access(51, uid: 7, fraction: 0.25)) == 64)
        let error = places.overShare(access(0, fraction: 0.25).owner)
        #expect(error.errno == .EDQUOT && error.members.contains(.init("key", .text("limits.share"))))
        places.giveBack(access(0).owner)
        #expect(!places.isShareUsed(by: access(0, fraction: 0.25).owner))
    }

    @Test func whoComesFirstLeavesOthersSome() {
        var places = StallPlaces(capacity: 256)
        let first = fill(&places, access(0))
        let shares = (1..<40).map { fill(&places, access($0)) }
        #expect(first == 192 && shares[0] == 8 && shares.prefix(8).allSatisfy { $0 > 0 })
        // However many sessions a user has, others find a place.
        let others = (40..<46).map { fill(&places, access($0, uid: UInt32($0))) }
        #expect(others.allSatisfy { $0 > 0 }, "\(others)")
    }

    @Test(arguments: [1, 2, 3, 8, 16, 65_535])
    func smallAndLargeSMMUsHaveAPlaceForTheFirst(capacity: Int) {
        var places = StallPlaces(capacity: capacity)
        let count = fill(&places, access(0))
        #expect(count >= 1 && count <= capacity)
        let other = fill(&places, access(1, uid: 7))
        #expect(capacity == 1 || other >= 1)
    }

    @Test func aFreedPlaceGoesToWhoHoldsTheFewest() {
        var places = StallPlaces(capacity: 16)
        let (greedy, modest) = (0, 1)
        let first = access(greedy)
        let taken = fill(&places, first)
        let waiting = [access(greedy), access(greedy)]
        for access in waiting { places.hold(access) }
        let late = access(modest)
        let its = fill(&places, late)
        places.hold(late)
        for _ in 0..<taken { places.giveBack(first.owner) }
        // In the order of arrival, where it holds no more than others.
        var next = places.next()
        #expect(its == 1 && next === waiting[0])
        for _ in 0..<2 { places.take(first.owner) }
        next = places.next()
        #expect(next === late)
        late.ticket = nil
        next = places.next()
        #expect(next === waiting[0])
        // One's own turn comes behind those that have waited longer.
        let isAdmitted = (places.admits(waiting[0]), places.admits(access(greedy)))
        #expect(isAdmitted == (true, false))
        waiting[0].fail(IOMMUError(.ETIMEDOUT, .endless, "it has given up", hint: "this is a test"))
        next = places.next()
        #expect(next === waiting[1])
        waiting[1].ticket = nil
        next = places.next()
        #expect(next == nil && places.isNobodyWaiting)
    }
}
