"""Values as people read them, in a single line."""


def clean(value: object) -> str:
    """A text as a single line without control characters: text from events must not move the cursor."""
    text = str(value)
    if not text.isprintable():
        text = "".join(character if character.isprintable() else " " for character in text)
    return text.strip()


def amount(cpu: float, memory: int) -> str:
    """Cores and bytes as `cpu 0.98, memory 52 MiB`."""
    return f"cpu {cpu:.2f}, memory {size(memory)}"


def size(count: int) -> str:
    """Bytes as `812 B`, `9.4 KiB` or `52 MiB`."""
    units = ("B", "KiB", "MiB", "GiB", "TiB")
    power = min(max(0, count.bit_length() - 1) // 10, len(units) - 1)
    value = count / 1024**power
    return f"{value:.{0 if value >= 10 or not power else 1}f} {units[power]}"


def duration(seconds: float | None) -> str:
    """Seconds as `7s`, `3m12s`, `5h40m` or `12d`; nothing for None."""
    if seconds is None:
        return ""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02}m"
    return f"{whole // 86400}d"
