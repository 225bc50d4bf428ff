import Glibc
import IOMMU
@testable import KernelIOMMU
import KernelTestSupport
import LinuxIO
import Testing

/// What sysfs tells, read from a directory that stands for the system.
@Suite struct TopologyTests {
    @Test func groupsDevicesAndIOMMUsAreRead() throws {
        let system = try SystemTree()
        let inventory = SystemInventory(files: system.files, services: try LoopWork())
        let topology = inventory.topology
        #expect(topology.smmus.map(\.name) == ["dmar0"])
        #expect(
            topology.groups.map(\.id) == [3, 12] && topology.groups.first?.devices == ["0000:01:00.0", "0000:01:00.1"])
        let device = try #require(topology.devices.first { $0.name == "0000:01:00.0" })
        #expect(device.driver == "vfio-pci" && device.cdev == "/dev/vfio/devices/vfio0" && device.isVFIOBound == true)
        #expect(device.smmu == "dmar0" && device.group == 3 && device.streamIDs == nil)
        #expect(device.reserved.map(\.kind) == [.direct, .msi])
        #expect(device.reserved.last?.range == AddressRange(start: 0xfee0_0000, last: 0xfeef_ffff))
        let lonely = try #require(topology.devices.first { $0.name == "0000:05:00.0" })
        #expect(lonely.group == nil && lonely.isNoIOMMU)
        #expect(topology.accelerators.map(\.algorithms) == [["zlib", "gzip"]])
        #expect(topology.accelerators.first?.queuesAvailable == 30)
    }

    @Test func whatStandsInTheWayIsNamed() throws {
        let system = try SystemTree()
        let inventory = SystemInventory(files: system.files, services: try LoopWork())
        let first = try #require(inventory.device(named: "0000:01:00.0"))
        #expect(first.obstacles.map(\.reason) == [.directRegion, .groupOwnedElsewhere])
        #expect(first.obstacles.last?.text == "device 0000:01:00.1 of the same group has the driver e1000e")
        #expect(first.obstacles.last?.hint.contains("driver_override") == true)
        let second = try #require(inventory.device(named: "0000:01:00.1"))
        #expect(second.obstacles.contains { $0.reason == .noVFIODriver })
        #expect(inventory.door(ofDevice: "0000:01:00.1") == nil && inventory.device(named: "nothing") == nil)
    }

    @Test func devicesThatComeAndGoAreTold() throws {
        let system = try SystemTree()
        let work = try LoopWork()
        let inventory = SystemInventory(files: system.files, services: work)
        var events: [DeviceEvent] = []
        inventory.onChange = { events.append($0) }
        try system.directory("sys/devices/0000:07:00.0")
        try system.link("sys/kernel/iommu_groups/20/devices/0000:07:00.0", to: "../../../../devices/0000:07:00.0")
        inventory.changed()
        inventory.changed()
        try work.turn { !events.isEmpty }
        #expect(events == [DeviceEvent(name: "0000:07:00.0", action: .added)])
        system.remove("sys/kernel/iommu_groups/12/devices/0000:02:00.0")
        inventory.changed()
        try work.turn { events.count > 1 }
        #expect(events.last == DeviceEvent(name: "0000:02:00.0", action: .removed))
    }

    @Test func messagesOfOtherSubsystemsAreNoNews() {
        func isOfInterest(_ text: String) -> Bool { Array(text.utf8).withUnsafeBytes { Uevents.isOfInterest($0) } }
        #expect(isOfInterest("add@/devices/pci0\0ACTION=add\0SUBSYSTEM=vfio-dev\0SEQNUM=7\0"))
        #expect(!isOfInterest("change@/devices/x\0ACTION=change\0SUBSYSTEM=block\0"))
        #expect(!isOfInterest("") && !isOfInterest("libudev\0\0"))
    }

    @Test func theRunningSystemCanBeRead() throws {
        let inventory = SystemInventory(services: try LoopWork())
        #expect(inventory.topology.devices.allSatisfy { inventory.device(named: $0.name) != nil })
    }
}

/// A directory with what sysfs has of a small machine.
private final class SystemTree {
    let root: String
    var files: SystemFiles { SystemFiles(root: root) }

    init() throws {
        var template = Array("/tmp/iommud-sysfs-XXXXXX".utf8CString)
        root = try #require(mkdtemp(&template).map { String(cString: $0) })
        try device("0000:01:00.0", group: 3, driver: "vfio-pci", node: "vfio0", iommu: "dmar0")
        try device("0000:01:00.1", group: 3, driver: "e1000e", node: nil, iommu: "dmar0")
        try device("0000:02:00.0", group: 12, driver: nil, node: nil, iommu: "dmar0")
        try device("0000:05:00.0", group: nil, driver: "vfio-pci", node: "noiommu-vfio1", iommu: nil)
        try text(
            "sys/kernel/iommu_groups/3/reserved_regions",
            "0x0000000000001000 0x0000000000001fff direct\n0x00000000fee00000 0x00000000feefffff msi\nnonsense\n")
        try directory("sys/class/iommu/dmar0")
        try directory("sys/devices/hisi_zip")
        try link("sys/class/uacce/hisi_zip-0/device", to: "../../../devices/hisi_zip")
        try text("sys/class/uacce/hisi_zip-0/algorithms", "zlib\ngzip\n")
        try text("sys/class/uacce/hisi_zip-0/available_instances", "30\n")
    }

    deinit { remove("") }

    private func device(_ name: String, group: UInt32?, driver: String?, node: String?, iommu: String?) throws {
        let directory = "sys/devices/\(name)"
        try self.directory(directory)
        if let driver { try link("\(directory)/driver", to: "../../bus/pci/drivers/\(driver)") }
        if let iommu { try link("\(directory)/iommu", to: "../../class/iommu/\(iommu)") }
        if let group { try link("sys/kernel/iommu_groups/\(group)/devices/\(name)", to: "../../../../devices/\(name)") }
        guard let node else { return }
        try self.directory("\(directory)/vfio-dev/\(node)")
        try link("\(directory)/vfio-dev/\(node)/device", to: "../../../\(name)")
        try link("sys/class/vfio-dev/\(node)", to: "../../devices/\(name)/vfio-dev/\(node)")
        try text("dev/vfio/devices/\(node)", "")
    }

    func directory(_ path: String) throws {
        var made = root
        for name in path.split(separator: "/") {
            made += "/\(name)"
            guard mkdir(made, 0o700) == 0 || errno == EEXIST else { throw SystemError.current("mkdir \(made)") }
        }
    }

    private func parent(of path: String) -> String { path.split(separator: "/").dropLast().joined(separator: "/") }

    func link(_ path: String, to target: String) throws {
        try directory(parent(of: path))
        guard symlink(target, "\(root)/\(path)") == 0 else { throw SystemError.current("symlink \(path)") }
    }

    private func text(_ path: String, _ content: String) throws {
        try directory(parent(of: path))
        let file = Descriptor(adopting: open("\(root)/\(path)", O_CREAT | O_WRONLY | O_CLOEXEC, 0o600))
        guard write(file.number, content, content.utf8.count) >= 0 else { throw SystemError.current("write \(path)") }
    }

    func remove(_ path: String) {
        let whole = path.isEmpty ? root : "\(root)/\(path)"
        var status = stat()
        if lstat(whole, &status) == 0, status.st_mode & S_IFMT == S_IFDIR {
            for name in files.list(path.isEmpty ? "" : "/\(path)") { remove(path.isEmpty ? name : "\(path)/\(name)") }
            rmdir(whole)
        } else {
            unlink(whole)
        }
    }
}
