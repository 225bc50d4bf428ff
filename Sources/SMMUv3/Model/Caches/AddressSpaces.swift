/// The tags that TLB entries carry in place of VMID and ASID.
///
/// Every address space has the generation of its VM and its own; invalidation by VMID or ASID gives a new one,
/// so that the old entries match nothing any more. A generation is never used twice.
struct AddressSpaces {
    /// The spaces of one VMID, or of EL2.
    struct Machine {
        let world: StreamWorld
        let vmid: UInt16
        /// In the tags of stage 1 and nested entries.
        var stage1: UInt32
        /// In the tags of stage 2 entries.
        var stage2: UInt32
        /// In the tags of global entries, by ASET.
        var global: (UInt32, UInt32)
    }

    /// One ASID of a machine.
    struct Space {
        let machine: Int
        let asid: UInt16
        /// CD.ASET of the last context that used it: 1 opts out of broadcast invalidation by ASID.
        var ASET: Bool
        var generation: UInt32
    }

    private(set) var machines: [Machine] = []
    private(set) var spaces: [Space] = []
    private var machineIndex: [UInt32: Int] = [:]
    private var spaceIndex: [UInt64: Int] = [:]
    /// A test sets it to see the end of the tags.
    var lastGeneration: UInt32 = 0
    /// Counts changes of tags; whoever holds a tag fetches it again when this has moved.
    private(set) var epoch: UInt64 = 1

    /// Whether so many spaces or generations were used that the owner must flush and start afresh.
    var isExhausted: Bool { spaces.count >= 1 << 14 || machines.count >= 1 << 14 || isOutOfGenerations }

    /// So few generations are left that only those of a few commands come before the first is used again.
    var isOutOfGenerations: Bool { lastGeneration > 0xfff0_0000 }

    /// Forgets everything; only together with a flush of the TLB.
    mutating func reset() {
        let epoch = epoch
        self = AddressSpaces()
        self.epoch = epoch &+ 1
    }

    /// The machine of a VMID in a world, made at first use.
    mutating func machine(world: StreamWorld, vmid: UInt16) -> Int {
        let key = UInt32(world.rawValue) << 16 | UInt32(vmid)
        if let index = machineIndex[key] {
            return index
        }
        machineIndex[key] = machines.count
        machines.append(
            Machine(
                world: world, vmid: vmid, stage1: nextGeneration(), stage2: nextGeneration(),
                global: (nextGeneration(), nextGeneration())))
        return machines.count - 1
    }

    /// The space of an ASID, made at first use.
    mutating func space(machine: Int, asid: UInt16, ASET: Bool) -> Int {
        let key = UInt64(machine) << 16 | UInt64(asid)
        if let index = spaceIndex[key] {
            spaces[index].ASET = ASET
            return index
        }
        spaceIndex[key] = spaces.count
        spaces.append(Space(machine: machine, asid: asid, ASET: ASET, generation: nextGeneration()))
        return spaces.count - 1
    }

    /// The space of an ASID if a context ever used it.
    func existingSpace(machine: Int, asid: UInt16) -> Int? {
        spaceIndex[UInt64(machine) << 16 | UInt64(asid)]
    }

    /// Whose entries a TLBI by address and ASID forgets.
    struct Target {
        /// nil if no context ever used the VMID.
        var machine: Int?
        /// Of the non-global entries; 0 if no context ever used the ASID.
        var tag: UInt64 = 0
    }

    func target(machine: Int, asid: UInt16) -> Target {
        Target(machine: machine, tag: existingSpace(machine: machine, asid: asid).map { tag(space: $0) } ?? 0)
    }

    /// The same in the world of guests and their host.
    func target(vmid: UInt16, asid: UInt16) -> Target {
        guard let machine = machineIndex[UInt32(StreamWorld.NS_EL1.rawValue) << 16 | UInt32(vmid)] else {
            return Target()
        }
        return target(machine: machine, asid: asid)
    }

    /// The machines of a world whose VMID matches above `wildcardBits` low bits (3.17.6).
    func machines(world: StreamWorld, vmid: UInt16, wildcardBits: Int = 0) -> [Int] {
        if wildcardBits == 0 {
            return machineIndex[UInt32(world.rawValue) << 16 | UInt32(vmid)].map { [$0] } ?? []
        }
        return machines.indices.filter {
            machines[$0].world == world && (machines[$0].vmid ^ vmid) >> UInt16(wildcardBits) == 0
        }
    }

    // MARK: Tags

    /// Tag of the non-global stage 1 entries of a space.
    func tag(space: Int) -> UInt64 {
        UInt64(machines[spaces[space].machine].stage1) << 32 | UInt64(spaces[space].generation)
    }

    /// Tag of the global stage 1 entries of a machine.
    func globalTag(machine: Int, ASET: Bool) -> UInt64 {
        let machine = machines[machine]
        return UInt64(machine.stage1) << 32 | UInt64(ASET ? machine.global.1 : machine.global.0)
    }

    /// Tag of the stage 2 entries of a machine.
    func stage2Tag(machine: Int) -> UInt64 {
        UInt64(machines[machine].stage2) << 32
    }

    /// The tags that a look-up could still ask for.
    func liveTags() -> Set<UInt64> {
        var tags = Set(spaces.indices.map { tag(space: $0) })
        for machine in machines.indices {
            tags.formUnion([
                stage2Tag(machine: machine), globalTag(machine: machine, ASET: false),
                globalTag(machine: machine, ASET: true),
            ])
        }
        return tags
    }

    // MARK: Invalidation

    /// Forgets the non-global entries of a space.
    mutating func renew(space: Int) {
        spaces[space].generation = nextGeneration()
    }

    /// Forgets all stage 1 entries of a machine, and its stage 2 entries too if asked.
    mutating func renew(machine: Int, stage2: Bool) {
        machines[machine].stage1 = nextGeneration()
        if stage2 {
            machines[machine].stage2 = nextGeneration()
        }
    }

    private mutating func nextGeneration() -> UInt32 {
        epoch &+= 1
        lastGeneration &+= 1
        return lastGeneration
    }
}
