import ArgumentParser

@main
struct Iommuctl: ParsableCommand {
    mutating func run() throws {}
}
