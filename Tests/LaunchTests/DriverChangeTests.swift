import Launch
import Testing

/// Devices that go to vfio with their groups, and back.
struct DriverChangeTests {
    private let machine = PlayedMachine()
    private let first = "0000:01:00.0"
    private let second = "0000:01:00.1"
    private let bridge = "0000:00:01.0"

    /// Two functions of a network card behind a bridge, all of one group.
    init() {
        machine.functions[first] = .init(driver: "igb", fitting: "igb")
        machine.functions[second] = .init(driver: nil)
        machine.functions[bridge] = .init(driver: "pcieport", classCode: "0x060400")
    }

    private func take(_ name: String, force: Bool = false) throws(DriverChange.Refusal) -> DriverChange {
        try DriverChange(taking: name, isForced: force, files: machine)
    }

    private var drivers: [String?] { [first, second, bridge].map { machine.functions[$0]?.driver } }

    @Test func theGroupGoesTogetherAndComesBack() throws {
        let change = try take(first)
        #expect(
            change.steps.map(\.step) == [
                .leave("a bridge stays with its driver"), .take("igb"), .take(nil),
            ])
        #expect(machine.log.isEmpty, "looking changes nothing")
        try change.carryOut()
        #expect(drivers == ["vfio-pci", "vfio-pci", "pcieport"])
        let again = try take(second)
        #expect(!again.isNeeded)
        let writes = machine.log.count
        try again.carryOut()
        #expect(machine.log.count == writes, "what is done is not done again")
        let back = try DriverChange(releasing: second, files: machine)
        #expect(back.steps.map(\.step) == [.leave("pcieport has it"), .giveBack("igb"), .giveBack(nil)])
        try back.carryOut()
        #expect(drivers == ["igb", nil, "pcieport"])
        #expect(machine.functions.values.allSatisfy { $0.override == "(null)" })
        #expect(!machine.contents.keys.contains { $0.hasPrefix(DriverChange.memory) })
        #expect(try !DriverChange(releasing: first, files: machine).isNeeded)
    }

    @Test func whatFailsHalfwayIsUndone() throws {
        machine.failing = ("drivers_probe", second)
        #expect(throws: DriverChange.Refusal.self) { try take(first).carryOut() }
        #expect(drivers == ["igb", nil, "pcieport"])
        machine.failing = nil
        // A driver that does not take it is a failure, too.
        machine.drivers.remove("igb")
        machine.functions[second]?.override = "x"
        try take(first).carryOut()
        #expect(drivers == ["vfio-pci", "vfio-pci", "pcieport"])
    }

    @Test func whatIsNotThereIsSaid() {
        #expect(throws: DriverChange.Refusal.unknown("0000:09:00.0")) { try take("0000:09:00.0") }
        #expect(throws: DriverChange.Refusal.unknown("../..")) { try take("../..") }
        machine.functions[first]?.group = nil
        #expect(throws: DriverChange.Refusal.noGroup(first)) { try take(first) }
        machine.functions[first]?.group = "7"
        machine.drivers.remove("vfio-pci")
        #expect(throws: DriverChange.Refusal.noVFIO) { try take(first) }
    }

    @Test func theOnlyRouteTheConsoleAndMountedDisksAreKept() throws {
        let device = "/sys/bus/pci/devices/\(first)"
        machine.directories["\(device)/net"] = ["eth0"]
        let header = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n"
        machine.contents["/proc/net/route"] = header + "eth0\t00000000\t0100A8C0\t0003\t0\t0\t0\t00000000\n"
        #expect(throws: DriverChange.Refusal.inUse([(first, "the machine's only default route goes through eth0")])) {
            try take(second)
        }
        #expect(try take(second, force: true).isNeeded)
        machine.contents["/proc/net/route"]? += "wlan0\t00000000\t0100A8C0\t0003\t0\t0\t600\t00000000\n"
        #expect(try take(second).isNeeded)
        machine.contents["\(device)/boot_vga"] = "1"
        #expect(throws: DriverChange.Refusal.inUse([(first, "it shows the console")])) { try take(first) }
        machine.contents["\(device)/boot_vga"] = "0"
        // A mounted volume on a partition of the function's disk.
        machine.directories["\(device)/nvme"] = ["nvme0"]
        machine.directories["\(device)/nvme/nvme0"] = ["nvme0c0n1"]
        machine.directories["/sys/block/nvme0n1"] = ["nvme0n1p1"]
        machine.directories["/sys/class/block/nvme0n1p1/holders"] = ["dm-0"]
        for (name, number) in [("nvme0n1", "259:0"), ("nvme0n1p1", "259:1"), ("dm-0", "253:0")] {
            machine.contents["/sys/class/block/\(name)/dev"] = number
        }
        #expect(try take(first).isNeeded, "nothing of it is mounted")
        machine.contents["/proc/self/mountinfo"] = "28 1 253:0 / /home rw,relatime shared:1 - ext4 /dev/dm-0 rw"
        #expect(throws: DriverChange.Refusal.inUse([(first, "a disk of it is mounted on /home")])) { try take(first) }
        machine.contents["/proc/self/mountinfo"] = ""
        machine.contents["/proc/swaps"] = "Filename\tType\n/dev/nvme0n1p1 partition 1 0 -2"
        #expect(throws: DriverChange.Refusal.inUse([(first, "/dev/nvme0n1p1 of it is swap space")])) { try take(first) }
    }
}
