/// A function of the machine's PCI, as `/sys` shows it.
public struct PCIFunction {
    /// `0000:01:00.0`
    public let name: String
    let files: any MachineFiles

    /// nil where there is none of that name.
    public init?(_ name: String, files: any MachineFiles) {
        guard PCIAddress(name) != nil, files.text("/sys/bus/pci/devices/\(name)/vendor") != nil else { return nil }
        (self.name, self.files) = (name, files)
    }

    var directory: String { "/sys/bus/pci/devices/\(name)" }
    /// Who drives it; nil: nobody.
    public var driver: String? { files.link("\(directory)/driver") }
    /// Who is to drive it whatever it is; nil: whoever fits.
    public var override: String? {
        files.text("\(directory)/driver_override").flatMap { $0.isEmpty || $0 == "(null)" ? nil : $0 }
    }
    /// PCI's class, subclass and interface: 0x030000 for a graphics adapter.
    public var classCode: UInt32 {
        let text = files.text("\(directory)/class") ?? ""
        return UInt32(text.hasPrefix("0x") ? text.dropFirst(2) : text[...], radix: 16) ?? 0
    }
    /// Bridges stay with their drivers: a group is viable all the same.
    public var isBridge: Bool { classCode >> 16 == 0x06 }
    /// nil: no IOMMU translates for it.
    public var group: String? { files.link("\(directory)/iommu_group") }

    /// All functions of its group, itself included.
    public var siblings: [PCIFunction] {
        let names = files.names(in: "\(directory)/iommu_group/devices")
        return names.compactMap { PCIFunction($0, files: files) }
    }

    // MARK: What would be lost

    /// Why the machine needs it as it is; empty: it does not.
    public var uses: [String] { mounts + routes + console }

    private var mounts: [String] {
        let disks = ([directory] + controllers).flatMap(disks)
        guard !disks.isEmpty else { return [] }
        let numbers = disks.flatMap(deviceNumbers)
        let mounted = (files.text("/proc/self/mountinfo") ?? "").split(separator: "\n").compactMap { line -> String? in
            let words = line.split(separator: " ")
            return words.count > 4 && numbers.contains(String(words[2])) ? String(words[4]) : nil
        }
        let swaps = (files.text("/proc/swaps") ?? "").split(separator: "\n").dropFirst()
            .compactMap { $0.split(separator: " ").first }
            .filter { swap in disks.contains { swap.hasPrefix("/dev/\($0)") } }
        return mounted.prefix(4).map { "a disk of it is mounted on \($0)" } + swaps.map { "\($0) of it is swap space" }
    }

    /// Block devices right beneath. Of an NVMe namespace with several ways to it (`nvme0c1n1`) the one that is used
    /// stands elsewhere.
    private func disks(in parent: String) -> [String] {
        let names = files.names(in: "\(parent)/block") + files.names(in: parent)
        return names.map { name in
            guard name.hasPrefix("nvme"), let path = name.firstIndex(of: "c"), let space = name.lastIndex(of: "n"),
                path < space
            else { return name }
            return String(name[..<path] + name[space...])
        }.filter { files.text("/sys/class/block/\($0)/dev") != nil }
    }

    /// Directories of what hangs on it: NVMe namespaces, SCSI hosts and their disks.
    private var controllers: [String] {
        var found: [String] = []
        var next = ["\(directory)/nvme", "\(directory)/ata", "\(directory)"].flatMap { parent in
            files.names(in: parent).filter(Self.isController).map { "\(parent)/\($0)" }
        }
        // A disk is at most host, target and unit away; more would be a loop.
        for _ in 0..<6 where !next.isEmpty {
            found += next
            next = next.flatMap { parent in
                files.names(in: parent).filter(Self.isController).map { "\(parent)/\($0)" }
            }
        }
        return found
    }

    private static func isController(_ name: String) -> Bool {
        ["nvme", "ata", "host", "target", "virtio"].contains {
            name.hasPrefix($0) && name.dropFirst($0.count).first?.isNumber == true
        }
            || name.split(separator: ":").count == 4
    }

    /// Of a disk, its partitions, and what is made of them (device mapper, RAID).
    private func deviceNumbers(_ disk: String) -> [String] {
        var names = [disk] + files.names(in: "/sys/block/\(disk)").filter { $0.hasPrefix(disk) }
        var numbers: [String] = []
        var seen: Set<String> = []
        while let name = names.popLast(), seen.count < 4096 {
            guard seen.insert(name).inserted else { continue }
            if let number = files.text("/sys/class/block/\(name)/dev") { numbers.append(number) }
            names += files.names(in: "/sys/class/block/\(name)/holders")
        }
        return numbers
    }

    /// A default route through it, if no other interface has one.
    private var routes: [String] {
        let own =
            files.names(in: "\(directory)/net")
            + files.names(in: directory).filter { $0.hasPrefix("virtio") }.flatMap {
                files.names(in: "\(directory)/\($0)/net")
            }
        let defaults = (files.text("/proc/net/route") ?? "").split(separator: "\n").dropFirst().compactMap {
            line -> String? in
            let words = line.split(separator: "\t")
            return words.count > 7 && words[1] == "00000000" && words[7] == "00000000" ? String(words[0]) : nil
        }
        guard let through = own.first(where: defaults.contains), defaults.allSatisfy(own.contains) else { return [] }
        return ["the machine's only default route goes through \(through)"]
    }

    private var console: [String] {
        files.text("\(directory)/boot_vga") == "1" ? ["it shows the console"] : []
    }
}
