#!/usr/bin/env python3
"""Draws the layout on AWS: architecture.py > architecture.svg, and rsvg-convert --zoom 2 makes the PNG of it.

Laid out by hand, since where a thing stands says what may reach it: from left to right the way of a request.
"""

from html import escape

out = []


def text(x, y, lines, size=13, anchor="middle", weight="normal", color="#1e293b"):
    for i, line in enumerate(lines):
        out.append(
            f'<text x="{x}" y="{y + i * (size + 4)}" font-size="{size}" text-anchor="{anchor}" '
            f'font-weight="{weight}" fill="{color}">{escape(line)}</text>'
        )


def area(x, y, w, h, title, fill, line):
    out.append(f'<rect x="{x}" y="{y}" width="{w}" height="{h}" rx="12" fill="{fill}" stroke="{line}" stroke-width="1.5"/>')
    text(x + 14, y + 24, [title], anchor="start", weight="bold", color="#475569")


def box(x, y, w, h, title, *lines, optional=False, store=False):
    """A thing; dashed when it is made on request, and rounder when it keeps something."""
    dash = ' stroke-dasharray="6 4"' if optional else ""
    out.append(f'<rect x="{x}" y="{y}" width="{w}" height="{h}" rx="{22 if store else 7}" fill="#ffffff" stroke="#475569" stroke-width="1.5"{dash}/>')
    top = y + h / 2 - (len(lines) * 16) / 2 + 5
    text(x + w / 2, top, [title], 14, weight="bold")
    text(x + w / 2, top + 17, lines, 12, color="#475569")


def arrow(points, label="", at=None, anchor="middle", optional=False):
    dash = ' stroke-dasharray="6 4"' if optional else ""
    path = "M" + " L".join(f"{x} {y}" for x, y in points)
    out.append(f'<path d="{path}" fill="none" stroke="#334155" stroke-width="1.6"{dash} marker-end="url(#head)"/>')
    if label:
        text(*at, label.split("\n"), 12, anchor, color="#334155")


area(170, 20, 900, 480, "VPC, in two or three zones", "#ffffff", "#94a3b8")
area(190, 60, 200, 420, "public subnets", "#eaf3fc", "#86b6e8")
area(450, 60, 270, 420, "private subnets", "#ecf8ef", "#8bc79b")
area(830, 60, 220, 420, "data subnets, no route out", "#fdf5e3", "#d9b26a")
area(170, 520, 900, 130, "AWS services", "#f6f1fc", "#b9a3d9")

box(20, 205, 110, 60, "Clients", "GET /rates")
box(20, 555, 110, 64, "Operator", "terraform apply")
box(210, 190, 160, 90, "Load balancer", "HTTP 3000, or", "HTTPS 443, 80 redirected")
box(210, 110, 160, 48, "Firewall", "managed rules, rate", optional=True)

box(470, 105, 230, 70, "sibling services", "an entry each, rule by path or host", optional=True)
box(470, 195, 230, 80, "rates serve", "ECS Fargate, scaled on requests, CPU", "read-only, no root, no capabilities")
box(470, 310, 230, 64, "one-off tasks", "rates migrate, rates load")
box(470, 405, 230, 56, "interface endpoints", "or a NAT gateway")

box(850, 105, 180, 60, "Valkey", "for siblings that ask", optional=True, store=True)
box(850, 195, 180, 80, "PostgreSQL 17", "RDS, standby on request,", "or Aurora Serverless v2", store=True)
box(850, 310, 180, 60, "read replicas", "by count", optional=True, store=True)

box(190, 560, 160, 70, "ECR", "images, the dump", store=True)
box(365, 560, 160, 70, "Secrets Manager", "owner's and service's login", store=True)
box(540, 560, 165, 70, "CloudWatch", "logs, metrics, dashboard", store=True)
box(720, 560, 150, 70, "Alarms, SNS", "what to do first")
box(885, 560, 165, 70, "S3", "access logs, state", store=True)

arrow([(130, 235), (208, 235)])
arrow([(290, 158), (290, 188)], optional=True)
arrow([(370, 235), (468, 235)], "3000\n/healthz", (420, 252))
arrow([(370, 210), (420, 210), (420, 140), (468, 140)], optional=True)
arrow([(700, 235), (848, 235)], "5432, TLS verify-full\nas rates_app", (774, 211))
arrow([(700, 255), (822, 255), (822, 340), (848, 340)], "reads", (815, 334), "end", optional=True)
arrow([(700, 350), (728, 350), (728, 292), (900, 292), (900, 277)], "as rates_admin", (731, 284), "start")
arrow([(700, 135), (848, 135)], "6379, TLS", (774, 126), optional=True)
arrow([(985, 275), (985, 308)], optional=True)
arrow([(640, 374), (640, 403)])
arrow([(585, 461), (585, 518)], "HTTPS: images, secrets, logs", (597, 510), "start")
arrow([(705, 595), (718, 595)])
arrow([(75, 555), (75, 400), (420, 400), (420, 342), (468, 342)], "hooks, by\nECS API", (83, 425), "start")
arrow([(130, 587), (188, 587)], "push", (150, 579))

print(
    '<svg xmlns="http://www.w3.org/2000/svg" width="1090" height="670" viewBox="0 0 1090 670" '
    'font-family="Helvetica, Arial, sans-serif" role="img" aria-label="Layout on AWS">\n'
    '<defs><marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto">'
    '<path d="M0 0 L10 5 L0 10 z" fill="#334155"/></marker></defs>\n'
    '<rect width="1090" height="670" fill="#ffffff"/>\n' + "\n".join(out) + "\n</svg>"
)
